"""uvicorn as the Store runs it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from once.errors import Defect
from producers.store.api.connections import Connections
from producers.store.api.protocol import Limits, guarded
from producers.store.settings import ServeSettings

BACKLOG = 2_048
RETRY_SECONDS = 1.0


class StoreConfig(uvicorn.Config):
    """Limits, TLS and silence: what uvicorn would say, our own logs do."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self.limits = Limits(
            header_bytes_max=settings.header_bytes_max,
            seconds_max=settings.receive_seconds_max,
            connections=Connections(settings.connections_max),
        )
        self.protocol = guarded(self.limits)
        super().__init__(
            app,
            host=settings.host,
            port=settings.port,
            http=self.protocol,  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type]
            timeout_graceful_shutdown=int(settings.drain_seconds_max) + 1,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            backlog=BACKLOG,
        )


class Server(uvicorn.Server):
    """Says where it listens, and wakes those who wait as soon as it is to leave."""

    config: StoreConfig

    def __init__(
        self,
        config: StoreConfig,
        *,
        leave: Callable[[], None],
        listening: Callable[[int], None],
    ) -> None:
        super().__init__(config)
        self._leave = leave
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Raises Defect when the address cannot be listened at."""
        host, port = self.config.host, self.config.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server(
                (host, port), family=family, backlog=BACKLOG
            )
        except OSError as error:
            raise Defect(
                f"nothing can listen at {host}:{port}: {error.strerror}; set "
                "STORE_HOST and STORE_PORT (0 picks a free one)"
            ) from error
        if self.config.ssl is None:
            await super().startup([listener])
        else:
            self.servers: list[Any] = [
                Entrance(listener, self.config, self.server_state)
            ]
            self.started = True
        self._listening(listener.getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._leave()
        await super().shutdown(sockets)


class Entrance:
    """Accepts connections and shakes hands, with an eye on those that never do.

    asyncio's own server tells nobody of a connection before its TLS is there.
    """

    def __init__(
        self, listener: socket.socket, config: StoreConfig, state: ServerState
    ) -> None:
        assert config.ssl is not None, "without TLS uvicorn's own server does"
        self._listener = listener
        self._context: ssl.SSLContext = config.ssl
        self._connections = config.limits.connections
        self._seconds_max = config.limits.seconds_max
        self._loop = asyncio.get_running_loop()
        self._shaking: set[asyncio.Task[None]] = set()
        self._make = partial(
            config.protocol, config=config, server_state=state, app_state={}
        )
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._shaking:
            task.cancel()

    async def wait_closed(self) -> None:
        """Until nobody is shaking hands any more."""
        await asyncio.gather(*self._shaking, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor is left: those that are open go on
                self._loop.remove_reader(self._listener)
                self._loop.call_later(RETRY_SECONDS, self._again)
                return
            sock.setblocking(False)
            task = self._loop.create_task(self._shake_hands(sock))
            self._shaking.add(task)
            task.add_done_callback(partial(self._shaken, sock))
            if not self._connections.admit(task, partial(_end, task)):
                task.cancel()

    def _shaken(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._shaking.discard(task)
        if task.cancelled():  # maybe before it began: then nobody else closes it
            sock.close()

    def _again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    async def _shake_hands(self, sock: socket.socket) -> None:
        connections = self._connections
        task = asyncio.current_task()

        def arrived() -> None:
            connections.gone(task)

        try:
            with suppress(OSError, TimeoutError):  # of the client: nothing to log
                await self._loop.connect_accepted_socket(
                    partial(self._make, arrived),
                    sock,
                    ssl=self._context,
                    ssl_handshake_timeout=self._seconds_max,
                )
        finally:
            connections.gone(task)


def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
