"""A change of an account out of a stranger's record: what is wrong with it is said."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from fastavro.read import SchemaResolutionError

from consumers.bank.change_codec import is_change, read_change


def fields(**changed: Any) -> dict[str, Any]:
    """The least that a record of any version must have, and `changed`."""
    least = {"change_id": uuid4().bytes, "account": 7, "created_at_ms": 1}
    return {**least, **changed}


def test_it_is_told_by_the_name_of_its_schema() -> None:
    assert is_change({"name": "once.payments.AccountChange"})
    assert is_change({"name": "AccountChange"})
    assert not is_change({"name": "once.payments.Transfer"})
    assert not is_change({"name": "AccountChanges"})


def test_what_another_version_does_not_have_is_as_it_was() -> None:
    found = read_change(fields())
    assert found.wrong is None and found.emitter is None
    assert found.change.asked == (7, False, None, None, None, "", "")


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"change_id": bytes(16)}, "change_id is nil"),
        ({"account": 0}, "account 0 is no account number"),
        ({"account": -5}, "account -5 is no account number"),
        ({"currency": b"eur"}, "currency 657572 is no three letters"),
        ({"currency": b"E\x00R"}, "currency 450052 is no three letters"),
        ({"currency": b"\xff\xfe\xfd"}, "currency fffefd is no three letters"),
        ({"status": "UNKNOWN"}, "status 'UNKNOWN' is not known here"),
        ({"status": "open"}, "status 'open' is not known here"),
        ({"reason": "a\x00b"}, "reason holds a NUL"),
        ({"reason": "ü" * 71}, "reason has 142 bytes, allowed 140"),
        ({"changed_by": "x" * 1021}, "changed_by has 1021 bytes, allowed 1020"),
        ({"changed_by": "\x00"}, "changed_by holds a NUL"),
    ],
)
def test_a_rule_of_form_that_is_broken(changed: dict[str, Any], sentence: str) -> None:
    wrong = read_change(fields(**changed)).wrong
    assert wrong is not None and wrong.startswith(sentence)


@pytest.mark.parametrize(
    "changed",
    [
        {"account": "7"},
        {"account": True},
        {"must_be_new": 1},
        {"currency": "EUR"},
        {"credit_limit": 1.0},
        {"status": 1},
        {"reason": b"why"},
        {"change_id": b"short"},
        {"emitter": b"short"},
        {"created_at_ms": None},
    ],
    ids=str,
)
def test_a_field_of_another_type_is_no_change(changed: dict[str, Any]) -> None:
    with pytest.raises(SchemaResolutionError):
        read_change(fields(**changed))


@pytest.mark.parametrize("name", ["account", "credit_limit", "created_at_ms"])
def test_a_number_of_more_than_64_bits_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has more than 64 bits"):
        read_change(fields(**{name: 2**63}))


@pytest.mark.parametrize("name", ["change_id", "account", "created_at_ms"])
def test_what_every_version_needs_must_be_there(name: str) -> None:
    there = fields()
    del there[name]
    with pytest.raises(SchemaResolutionError, match=f"{name} is not there"):
        read_change(there)
