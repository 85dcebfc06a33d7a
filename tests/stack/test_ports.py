"""Ports are chosen once and then kept."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from local.processes.errors import StackError
from local.processes.ports import HIGHEST_PORT, LOWEST_PORT, choose_ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_new_ports_are_free_and_below_those_of_outgoing_connections() -> None:
    ports = choose_ports(["a", "b", "c"], remembered={})
    assert len(set(ports.values())) == 3
    assert all(is_free(port) for port in ports.values())
    assert all(LOWEST_PORT <= port < HIGHEST_PORT for port in ports.values())


def test_a_restart_uses_the_same_ports() -> None:
    first = choose_ports(["a", "b"], remembered={})
    assert choose_ports(["a", "b"], remembered=first) == first


def test_a_remembered_port_that_somebody_took_is_given_up(taken: int) -> None:
    assert choose_ports(["a"], remembered={"a": taken})["a"] != taken


def test_a_configured_port_that_somebody_took_is_refused(taken: int) -> None:
    with pytest.raises(StackError, match=f"port {taken} for kafka-1 is in use"):
        choose_ports(["kafka-1"], remembered={}, configured={"kafka-1": taken})


def test_a_configured_port_wins_over_a_remembered_one() -> None:
    wanted = choose_ports(["a"], remembered={})["a"]
    other = {"a": wanted + 1}
    assert choose_ports(["a"], remembered=other, configured={"a": wanted}) == {
        "a": wanted
    }
