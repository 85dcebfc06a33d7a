"""A known finding is accepted when somebody answers for it, and not a day longer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

from consumers.bank.audit import waive, waivers
from consumers.bank.audit.behind import Behind
from consumers.bank.audit.report import AuditReport, Evidence, invariant_reports
from consumers.bank.audit.waivers import Waiver
from once.errors import Defect

GAP = "emitter 01a2, partition 0: 2 records missing before offset 7"
TODAY = date(2026, 11, 27)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def public(key: Ed25519PrivateKey, tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(pem)
    return path


def waiver(**changed: object) -> Waiver:
    said = {"invariant": "I10", "finding": GAP, "who": "Ada", "why": "a broker's disk"}
    return Waiver.model_validate({**said, "until": "2026-12-31", **changed})


def file_of(folder: Path, *lines: str) -> Path:
    path = folder / "waivers.ndjson"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_is_signed_is_accepted_to_the_letter_and_shown(
    key: Ed25519PrivateKey, public: Path, tmp_path: Path
) -> None:
    path = file_of(tmp_path, waiver().sign(key).model_dump_json(), "")
    evidence = Evidence(waivers=waivers.read(path, public, TODAY))
    evidence.broken("I10", GAP, 2)
    evidence.broken("I10", GAP.replace("offset 7", "offset 8"))
    evidence.broken("I1", GAP)
    reports = invariant_reports(evidence)
    assert (reports["I10"].violations, reports["I10"].accepted) == (1, 2)
    assert reports["I1"].violations == 1 and not reports["I1"].holds
    (note,) = evidence.notes
    assert note.startswith("accepted by Ada until 2026-12-31 (a broker's disk): I10")


def test_after_its_last_day_it_counts_no_more(
    key: Ed25519PrivateKey, public: Path, tmp_path: Path
) -> None:
    path = file_of(tmp_path, waiver(until=TODAY).sign(key).model_dump_json())
    assert waivers.read(path, public, TODAY).accepts("I10", GAP)
    late = waivers.read(path, public, date(2026, 11, 28))
    assert late.accepts("I10", GAP) is None
    assert "counts no more since 2026-11-27" in late.notes[0]


def changed(name: str, value: str) -> Callable[[dict[str, str]], None]:
    return lambda line: line.update({name: value})


@pytest.mark.parametrize(
    "spoil",
    [
        changed("finding", GAP + "0"),
        changed("until", "2030-01-01"),
        changed("who", "Bob"),
        changed("signature", ""),
        changed("signature", "no base64!"),
    ],
)
def test_what_was_changed_after_it_was_signed_is_refused(
    key: Ed25519PrivateKey,
    public: Path,
    tmp_path: Path,
    spoil: Callable[[dict[str, str]], None],
) -> None:
    line = json.loads(waiver().sign(key).model_dump_json())
    spoil(line)
    with pytest.raises(Defect, match="line 1 of .* is not signed"):
        waivers.read(file_of(tmp_path, json.dumps(line)), public, TODAY)


@pytest.mark.parametrize("line", ["{}", "waive it", '{"invariant": "all"}'])
def test_a_line_that_is_no_waiver_is_refused(
    public: Path, tmp_path: Path, line: str
) -> None:
    with pytest.raises(Defect, match="line 1 of .* is no waiver"):
        waivers.read(file_of(tmp_path, line), public, TODAY)


def test_without_a_key_nothing_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(Defect, match="AUDIT_WAIVER_KEY"):
        waivers.read(file_of(tmp_path, "{}"), None)
    other = tmp_path / "other.pem"
    pem = generate_private_key(SECP256R1()).public_key()
    other.write_bytes(pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(Defect, match="another kind than Ed25519"):
        waivers.read(file_of(tmp_path, "{}"), other)


def test_a_finding_of_a_report_is_signed_by_its_number(
    key: Ed25519PrivateKey, public: Path, tmp_path: Path
) -> None:
    private = tmp_path / "private.pem"
    private.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    report = tmp_path / "audit.json"
    report.write_text(a_report_with(GAP).model_dump_json())
    said = CliRunner().invoke(
        waive_app(),
        [
            *(str(report), "--invariant", "I10", "--number", "1", "--who", "Ada"),
            *("--why", "known", "--until", "2026-12-31", "--key", str(private)),
        ],
        catch_exceptions=False,
    )
    assert said.exit_code == 0, said.output
    found = waivers.read(file_of(tmp_path, said.stdout), public, TODAY)
    assert found.accepts("I10", GAP)


def a_report_with(finding: str) -> AuditReport:
    evidence = Evidence()
    evidence.broken("I10", finding)
    counts = dict.fromkeys(
        "records posted declined repeats quarantined lost duplicated".split(), 0
    )
    return AuditReport(
        invariants_ok=False,
        seconds=1.0,
        behind=Behind(),
        invariants=invariant_reports(evidence),
        notes=[],
        **counts,
    )


def waive_app() -> typer.Typer:
    app = typer.Typer()
    app.command()(waive.main)
    return app
