"""`once topics`: what is wrong with settings or arguments is one sentence."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

import once.__main__ as cli
from once.errors import Defect
from once.topics import Topic, differences, wanted

SERVERS, KAFKA = "ONCE_BOOTSTRAP_SERVERS", "ONCE_KAFKA"


def invoke(pair: str) -> Result:
    return CliRunner().invoke(cli.app, ["topics", pair])


def test_a_setting_that_the_client_does_not_know_is_a_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SERVERS, "127.0.0.1:9")
    monkeypatch.setenv(KAFKA, '{"ssl.ca.locatoin": "/x"}')
    done = invoke("t=1")
    assert isinstance(done.exception, Defect)
    assert 'No such configuration property: "ssl.ca.locatoin"' in str(done.exception)


def test_where_the_brokers_are_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVERS, raising=False)
    done = invoke("t=1")
    assert isinstance(done.exception, Defect)
    assert SERVERS in str(done.exception)


@pytest.mark.parametrize("pair", ["t", "t=", "=1", "t=0", "t=-1", "t=six"])
def test_a_pair_that_is_none_is_refused(pair: str) -> None:
    done = invoke(pair)
    assert done.exit_code == 2
    assert "is not TOPIC=PARTITIONS" in " ".join(done.stderr.split())


def test_one_broker_is_enough_where_there_is_only_one() -> None:
    config = wanted("t", 1, 1).config
    assert config is not None and config["min.insync.replicas"] == "1"


def test_settings_that_we_may_not_see_are_a_difference() -> None:
    (found,) = differences(Topic("t", 1, 3, None), wanted("t", 1, 3))
    assert str(found) == (
        "topic t: what is set is hidden, not visible; "
        "allow DescribeConfigs on the topic"
    )
