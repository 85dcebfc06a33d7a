"""A stand-in for a pooler: it tells a process id of its own, as PgBouncer does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

_KEY_DATA = b"K\x00\x00\x00\x0c"  # then the process id and a secret, four bytes each
_PROCESS_ID = b"\x00\x00\x00\x01"


@contextmanager
def a_pooler(host: str, port: int) -> Iterator[int]:
    """The port of one that passes a single connection on to that server."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=_serve, args=(listener, host, port))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, host: str, port: int) -> None:
    with suppress(OSError):
        client, _ = listener.accept()
        with closing(client), socket.create_connection((host, port)) as server:
            up = threading.Thread(target=_copy, args=(client, server))
            up.start()
            _copy(server, client, renumbered=True)
            up.join()


def _copy(here: socket.socket, there: socket.socket, renumbered: bool = False) -> None:
    with suppress(OSError):
        while got := here.recv(65_536):
            before, found, after = (
                got.partition(_KEY_DATA) if renumbered else (got, b"", b"")
            )
            if found:
                got = before + found + _PROCESS_ID + after[len(_PROCESS_ID) :]
                renumbered = False
            there.sendall(got)
    with suppress(OSError):
        there.shutdown(socket.SHUT_WR)
