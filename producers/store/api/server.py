"""uvicorn as the Store runs it."""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from typing import Any

import uvicorn

from producers.store.api.protocol import guarded
from producers.store.settings import ServeSettings


def server_config(app: Any, settings: ServeSettings) -> uvicorn.Config:
    """Limits, TLS and silence: what uvicorn would say, our own logs do."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=guarded(settings.header_bytes_max, settings.receive_seconds_max),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.connections_max,
        timeout_graceful_shutdown=int(settings.drain_seconds_max) + 1,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


class Server(uvicorn.Server):
    """Says where it listens, and wakes those who wait as soon as it is to leave."""

    def __init__(
        self,
        config: uvicorn.Config,
        leave: Callable[[], None],
        listening: Callable[[int], None],
    ) -> None:
        super().__init__(config)
        self._leave = leave
        self._listening = listening

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            self._listening(server.sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._leave()
        await super().shutdown(sockets)
