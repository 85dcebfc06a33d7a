"""A batch: NDJSON in, one line of answer for each line, in order, as they are known.

Lines go to the desk by the window, a few windows at a time, so that a batch neither
waits for one commit after the other nor keeps the event loop from other clients.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing

from starlette.requests import ClientDisconnect

from producers.store.api.clients import Client
from producers.store.api.limits import BATCH_PATH, RateLimit
from producers.store.api.models import parse_line, status_fields
from producers.store.api.ndjson import LINE_BYTES_MAX, Line, read_lines
from producers.store.api.problem_response import mistake
from producers.store.desk import Answer, Desk
from producers.store.ids import spelled
from producers.store.problems import Kind, Problem
from producers.store.transfers import Transfer

WINDOW_LINES_MAX = 500
WINDOWS_MAX = 16
# Of answers that the client has not taken yet. Beyond it the body is not read on, so a
# client must read while it sends, or its connection ends (protocol.py).
ANSWERS_BYTES_MAX = 4 << 20
# A batch whose answers are that much larger than itself is none, and ends.
ANSWER_BYTES_MIN, ANSWER_BYTES_PER_BYTE_MAX = 256 << 10, 4

Answers = asyncio.Queue[Awaitable[bytes] | None]  # None: that was all


class Batch:
    """One request's lines on their way."""

    def __init__(
        self, desk: Desk, rates: RateLimit, client: Client, *, within_seconds: float
    ) -> None:
        self._desk = desk
        self._rates = rates
        self._client = client
        self._within_seconds = within_seconds
        self._read_bytes = self._answer_bytes = 0
        self._kept = 0  # bytes of answers that are there and not taken
        self._taken = asyncio.Event()

    async def answers(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Pieces of the response.

        The body is read on while they are not taken, as far as so many may be kept: a
        client that sends all before it reads anything would wait for us, and we for it.
        """
        due: Answers = asyncio.Queue()
        reader = asyncio.create_task(self._read(body, due))
        try:
            while (answers := await due.get()) is not None:
                piece = await answers
                yield piece
                self._kept -= len(piece)
                self._taken.set()
            await reader
        finally:
            reader.cancel()

    async def _read(self, body: AsyncIterator[bytes], due: Answers) -> None:
        room = asyncio.Semaphore(WINDOWS_MAX)
        most = min(WINDOW_LINES_MAX, self._rates.transfers_max)
        try:
            async with aclosing(read_lines(body)) as pieces:
                async for lines in pieces:
                    for at in range(0, len(lines), most):
                        await self._room_for_answers()
                        await room.acquire()
                        window = lines[at : at + most]
                        task = asyncio.create_task(self._send(window))
                        task.add_done_callback(lambda _: room.release())
                        due.put_nowait(task)
                        await asyncio.sleep(0)  # others' turn
                        self._end_what_is_none()
        except Problem as problem:
            due.put_nowait(_said(_problem_line(None, problem)))
        except ClientDisconnect:
            pass
        finally:
            due.put_nowait(None)

    def _end_what_is_none(self) -> None:
        allowed = ANSWER_BYTES_MIN + ANSWER_BYTES_PER_BYTE_MAX * self._read_bytes
        if self._answer_bytes > allowed:
            detail = (
                "Too many lines were wrong or over the rate: what is behind the last "
                "one that has an answer was not read."
            )
            raise Problem(Kind.TOO_MANY, detail, 1)

    async def _room_for_answers(self) -> None:
        while self._kept > ANSWERS_BYTES_MAX:
            self._taken.clear()
            await self._taken.wait()

    async def _send(self, window: Sequence[Line]) -> bytes:
        """The answers to one window, joined."""
        answers: dict[int, bytes] = {}
        good: list[tuple[int, Transfer]] = []
        over = self._book(len(window))
        for number, raw in window:
            try:
                if over is not None:
                    raise over
                good.append((number, self._parse(raw)))
            except Problem as problem:
                answers[number] = _problem_line(number, problem)
        told = await self._ask(good)
        ids = spelled([transfer.transfer_id.bytes for _, transfer in good])
        for (number, _), transfer_id, answer in zip(good, ids, told, strict=True):
            answers[number] = _answer_line(number, transfer_id, answer)
        joined = b"".join(answers[number] for number, _ in window)
        self._read_bytes += sum(len(raw or b"") for _, raw in window)
        self._answer_bytes += len(joined)
        self._kept += len(joined)
        return joined

    def _book(self, lines: int) -> Problem | None:
        """Wrong lines count, too: they cost as much."""
        try:
            self._rates.take(self._client.name, lines)
        except Problem as problem:
            return problem
        return None

    def _parse(self, raw: bytes | None) -> Transfer:
        if raw is None:
            raise Problem(Kind.TOO_LARGE, f"A line has at most {LINE_BYTES_MAX} bytes.")
        transfer = parse_line(raw)
        self._client.require_account(transfer.debit_account)
        return transfer

    async def _ask(self, good: Sequence[tuple[int, Transfer]]) -> list[Answer]:
        transfers = [transfer for _, transfer in good]
        client = self._client.name
        try:
            return await self._desk.send_all(client, transfers, self._within_seconds)
        except Problem as problem:
            return [problem] * len(transfers)
        except Exception as error:  # the other windows have answers
            return [mistake(BATCH_PATH, error)] * len(transfers)


def _answer_line(number: int, transfer_id: str, answer: Answer) -> bytes:
    if isinstance(answer, Problem):
        return _problem_line(number, answer, transfer_id)
    fields = status_fields(transfer_id, answer)
    return f'{{"line":{number},{fields}}}\n'.encode()


def _problem_line(
    number: int | None, problem: Problem, transfer_id: str | None = None
) -> bytes:
    answer: dict[str, object] = {} if number is None else {"line": number}
    if transfer_id is not None:
        answer["transfer_id"] = transfer_id
    whole = {**answer, "problem": problem.body()}
    return json.dumps(whole, separators=(",", ":")).encode() + b"\n"


async def _said(answer: bytes) -> bytes:
    return answer
