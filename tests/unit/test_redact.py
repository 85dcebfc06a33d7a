"""No sentence shows a password, in whatever form it got there."""

from __future__ import annotations

import psycopg
import pytest
from confluent_kafka import Producer

from once.errors import Defect, OnceError, Refused
from once.health import HealthServer, Progress
from once.kafka import client
from once.postgres import from_postgres
from once.redact import printable, redacted

TEXTS = [
    ("http://svc:hunter2@host:1/a@b", "http://***@host:1/a@b"),
    ("http://svc:p@hunter2@host", "http://***@host"),
    ("postgresql://bank:hunter2@a,b/ledger", "postgresql://***@a,b/ledger"),
    ("host=a password=hunter2 user=b", "host=a password=*** user=b"),
    ("password = 'hunter2 \\' x' user=b", "password = *** user=b"),
    ('username="u" password="hunter2";', 'username="u" password=***;'),
    ("password='hunter2 cut", "password=***"),
    ("sasl.password=hunter2,acks=all", "sasl.password=***,acks=all"),
    ('{"sasl.password": "hunter2"}', '{"sasl.password": ***}'),
    ("{'ssl.key.password': 'hunter2'}", "{'ssl.key.password': ***}"),
    ("/x?access_token=hunter2&y=1", "/x?access_token=***&y=1"),
    ("Authorization: Bearer hunter2hunter2hunter2", "Authorization: Bearer ***"),
    ("sub eyJhbGciOiJub25lIn0.hunter2.sig", "sub ***"),
    ('missing "=" after "hunter2" in it', 'missing "=" after "***" in it'),
]
PLAIN = [
    "password authentication failed for user b",
    "http://host:80/path?mail=a@b, b@c",
    "the token has expired",
    "a bearer token is needed",
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_a_password_is_taken_out_and_the_rest_stays(text: str, expected: str) -> None:
    assert redacted(text) == expected
    assert redacted(expected) == expected


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_password_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("kind", [OnceError, Defect, Refused])
def test_no_error_says_one_or_sends_controls_to_a_terminal(
    kind: type[OnceError],
) -> None:
    assert str(kind("http://u:hunter2@h\x1b[31m\nb")) == "http://***@h\\x1b[31m\nb"


def test_a_connection_string_that_is_none_is_not_repeated() -> None:
    for wrong in ("host=a password=x hunter2", "postgresql://u:hunter2@[::/x"):
        with pytest.raises(psycopg.Error) as raised:
            psycopg.connect(wrong)
        assert "hunter2" not in str(from_postgres(raised.value, "connecting"))


def test_a_kafka_setting_that_is_refused_does_not_tell_the_password() -> None:
    for settings in (
        {"sasl.password": "hunter2", "security.protocol": "hunter2"},
        {"ssl.key.pem": "hunter2", "security.protocol": "SSL"},
        {"sasl.passwort": "hunter2"},
    ):
        with pytest.raises(Defect, match="look at ..._KAFKA") as wrong:
            client(Producer, settings)
        assert "hunter2" not in str(wrong.value)


def test_a_health_answer_does_not_tell_one() -> None:
    def broken() -> str | None:
        raise RuntimeError("http://u:hunter2@registry is away")

    said = {"a": broken, "b": lambda: "password=hunter2"}
    with HealthServer(Progress(30), said, lambda: b"") as server:
        _, body = server.ready()
    assert "hunter2" not in str(body) and "http://***@registry" in str(body)


def test_controls_are_shown_and_letters_stay() -> None:
    assert printable("a\x9b\u2066\n🏠", kept="\n") == "a\\x9b\\u2066\n🏠"
