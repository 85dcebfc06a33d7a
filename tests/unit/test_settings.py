"""Settings from the environment and from files; a mistake in them is one sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from once.errors import Defect
from once.registry import Registry
from once.settings import REFUSE_ROOT, SECRETS_DIR, load, required

NAME = "PLANTED_CONNINFO"


class Planted(BaseSettings):
    """Settings of a program that does not exist."""

    model_config = SettingsConfigDict(env_prefix="PLANTED_", extra="ignore")

    conninfo: SecretStr
    size: int = 1
    kafka: dict[str, str] = {}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One without any of these settings."""
    for name in os.environ:
        if name.startswith("PLANTED_") or name in (SECRETS_DIR, REFUSE_ROOT):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def secrets(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that is named for secrets."""
    environment.setenv(SECRETS_DIR, str(tmp_path))
    return tmp_path


def conninfo() -> str:
    return load(Planted).conninfo.get_secret_value()


def test_a_secret_lies_in_a_file_with_the_name_of_its_setting(secrets: Path) -> None:
    (secrets / NAME.lower()).write_text("host=file\n")
    assert conninfo() == "host=file"
    assert required(NAME) == "host=file"


def test_a_file_may_be_mounted_as_kubernetes_does_it(secrets: Path) -> None:
    (secrets / "..2026_01_01").mkdir()
    (secrets / "..2026_01_01" / NAME.lower()).write_text("host=file")
    (secrets / "..data").symlink_to("..2026_01_01")
    (secrets / NAME.lower()).symlink_to(f"..data/{NAME.lower()}")
    assert conninfo() == required(NAME) == "host=file"


def test_the_environment_wins_over_a_file(
    environment: pytest.MonkeyPatch, secrets: Path
) -> None:
    (secrets / NAME.lower()).write_text("host=file")
    environment.setenv(NAME, "host=environment")
    assert conninfo() == required(NAME) == "host=environment"


def test_every_setting_may_lie_in_a_file(secrets: Path) -> None:
    (secrets / NAME.lower()).write_text("host=file")
    (secrets / "planted_size").write_text("7\n")
    (secrets / "planted_kafka").write_text('{"a": "b"}')
    settings = load(Planted)
    assert (settings.size, settings.kafka) == (7, {"a": "b"})


def test_a_file_of_somebody_else_is_not_looked_at(secrets: Path) -> None:
    (secrets / NAME.lower()).write_text("host=file")
    (secrets / "planted_other").write_bytes(b"\xff")
    assert conninfo() == "host=file"


def test_what_is_wrong_in_a_file_is_named_and_not_shown(secrets: Path) -> None:
    (secrets / NAME.lower()).write_text("host=file")
    (secrets / "planted_size").write_text("secret")
    with pytest.raises(Defect, match="wrong: PLANTED_SIZE; see") as caught:
        load(Planted)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("missing", ["no file", "no folder named"])
def test_what_is_nowhere_is_named(
    environment: pytest.MonkeyPatch, secrets: Path, missing: str
) -> None:
    if missing == "no folder named":
        environment.delenv(SECRETS_DIR)
    with pytest.raises(Defect, match=f"missing or wrong: {NAME}; see docs/"):
        load(Planted)
    with pytest.raises(Defect, match=f"^{NAME} is not set; see docs/operations.md$"):
        required(NAME)


@pytest.mark.parametrize("there", ["nothing", "a file"])
def test_a_folder_that_is_not_mounted_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, there: str
) -> None:
    folder = tmp_path / "secrets"
    if there == "a file":
        folder.touch()
    environment.setenv(SECRETS_DIR, str(folder))
    sentence = f"{SECRETS_DIR} is {folder}, which is no folder: is it mounted?"
    for read in (conninfo, lambda: required(NAME)):
        with pytest.raises(Defect) as caught:
            read()
        assert str(caught.value) == sentence


def test_an_empty_value_is_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(NAME, "")
    environment.setenv(SECRETS_DIR, "")
    with pytest.raises(Defect, match=f"{NAME} is not set"):
        required(NAME)


@pytest.mark.parametrize(
    ("user", "refuses", "said"), [(0, "1", True), (0, "", False), (10001, "1", False)]
)
def test_root_is_refused_where_our_images_say_so(
    environment: pytest.MonkeyPatch, user: int, refuses: str, said: bool
) -> None:
    environment.setattr(os, "geteuid", lambda: user)
    environment.setenv(NAME, "host=a")
    environment.setenv(REFUSE_ROOT, refuses)
    for read in (conninfo, lambda: required(NAME)):
        if not said:
            assert read() == "host=a"
            continue
        with pytest.raises(Defect, match="^this container runs as root: give it a "):
            read()


def test_root_is_refused_before_anything_is_missing(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setattr(os, "geteuid", lambda: 0)
    environment.setenv(REFUSE_ROOT, "1")
    environment.setenv(SECRETS_DIR, "/nowhere")
    with pytest.raises(Defect, match="runs as root"):
        load(Planted)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None
) -> None:
    ca = tmp_path / "ca.crt"
    if content is not None:
        ca.write_bytes(content)
    expected = f"^the registry's authority {re.escape(str(ca))} cannot be read: "
    with pytest.raises(Defect, match=expected):
        Registry("https://registry:8443", ca)
