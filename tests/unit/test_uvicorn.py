"""What api/protocol.py needs of uvicorn's inside: look there when this fails."""

from __future__ import annotations

import asyncio
import inspect

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

CALLED = """
    connection_made connection_lost pause_writing resume_writing data_received
    eof_received on_header on_headers_complete on_body on_message_complete
    on_response_complete _unset_keepalive_if_required
""".split()
HELD = {*"parser headers scheme cycle flow loop transport".split()}
OF_A_CYCLE = """
    response_started response_complete keep_alive disconnected message_event
""".split()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """It is never asked."""


async def fields() -> set[str]:
    """What a connection has before anything came."""
    config = uvicorn.Config(app, log_config=None)
    config.load()
    return set(vars(HttpToolsProtocol(config, ServerState(), {})))


@pytest.mark.parametrize("name", CALLED)
def test_what_is_overridden_or_called_is_there(name: str) -> None:
    assert callable(getattr(HttpToolsProtocol, name))


def test_what_a_connection_holds_is_called_as_it_was() -> None:
    assert asyncio.run(fields()) >= HELD
    assert "self.url" in inspect.getsource(HttpToolsProtocol.on_message_begin)


def test_a_cycle_can_be_told_that_its_client_has_gone() -> None:
    source = inspect.getsource(RequestResponseCycle.__init__)
    assert all(f"self.{name}" in source for name in OF_A_CYCLE)


def test_reading_is_paused_by_the_flow() -> None:
    assert {"pause_reading", "resume_reading"} <= set(vars(FlowControl))
    assert "read_paused" in inspect.getsource(FlowControl.__init__)
