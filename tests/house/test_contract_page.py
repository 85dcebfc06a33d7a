"""The contract page says what the code does and what the samples are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from consumers.bank.codec import MEMO_BYTES_MAX, RECORD_BYTES_MAX, Reason
from consumers.bank.rules import AMOUNT_MAX
from consumers.bank.verdicts import Verdict
from once.kafka import DECOMPRESSED_BYTES_MAX
from tests.house.tree import ROOT, text

PAGE = (ROOT / "avro" / "README.md").read_text()
HOW_TO = ROOT / "docs" / "how-to" / "foreign-producer-on-kubernetes.md"
SAMPLES = {"python": "examples/python/pay.py", "java": "examples/java/Pay.java"}
DAY_MS = 86_400_000


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, language
    return [str(each) for each in found]


@pytest.mark.parametrize("language", SAMPLES)
def test_an_excerpt_is_in_the_sample_that_is_run(language: str) -> None:
    lines = (text(Path(SAMPLES[language])) or "").splitlines()
    missing = [
        line
        for block in blocks(language)
        for line in block.splitlines()
        if line not in lines
    ]
    assert missing == []


def test_the_page_names_every_reason_and_every_verdict() -> None:
    rows = re.findall(r"(?m)^\| `([A-Z_]+)` \|", PAGE)
    assert {*map(str, Reason)} <= {*rows}
    assert [name for name in Verdict.__members__ if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize(
    "limit",
    [AMOUNT_MAX, RECORD_BYTES_MAX, MEMO_BYTES_MAX, DECOMPRESSED_BYTES_MAX],
)
def test_the_page_has_the_limits_of_the_code(limit: int) -> None:
    assert re.search(rf"(?<![\d,]){limit:,}(?![\d,])", PAGE)


@pytest.mark.parametrize("topic", ["transfers", "transfer-results"])
def test_the_page_says_how_long_a_topic_is_kept(topic: str) -> None:
    base = yaml.safe_load_all((ROOT / "strimzi/base/topics.yaml").read_text())
    (spec,) = (each["spec"] for each in base if each["metadata"]["name"] == topic)
    overlay = (ROOT / "strimzi/overlays/production/kustomization.yaml").read_text()
    (patch,) = (
        each["patch"]
        for each in yaml.safe_load(overlay)["patches"]
        if each.get("target", {}).get("name") == topic
    )
    kept = [spec["config"]["retention.ms"], yaml.safe_load(patch)[0]["value"]]
    days = [int(each) // DAY_MS for each in kept]
    (row,) = re.findall(rf"(?m)^\| `{topic}` \| .*$", PAGE)
    assert f"{days[0]} days, {days[1]} days" in row


def test_the_java_sample_asks_for_what_it_is_run_with() -> None:
    pom = (ROOT / "examples/java/pom.xml").read_text().split("<build>")[0]
    asked = re.findall(r"<artifactId>(.*)</artifactId>\s*<version>([\d.]+\.\d+)<", pom)
    assert [name for name, _ in asked] == ["kafka-clients", "avro"]
    jars = (ROOT / "local/jars.sha256").read_text()
    for name, version in asked:
        assert re.search(rf"[/.]{name}-{re.escape(version)}\.jar\n", jars), name
        assert f"{name}` {version}" in PAGE


def test_the_samples_have_nothing_of_ours() -> None:
    source = text(Path(SAMPLES["python"])) or ""
    assert not re.search(r"(?m)^(from|import) (once|consumers|producers|local)", source)


@pytest.mark.parametrize("page", [ROOT / "avro/README.md", HOW_TO])
def test_what_a_page_links_to_is_there(page: Path) -> None:
    linked = re.findall(r"\]\((?!https?://)([^)#\s]*)(#[^)]*)?\)", page.read_text())
    assert linked
    for path, anchor in linked:
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"(?m)^#+ (.*)$", target.read_text())
            assert anchor[1:] in map(slug, heads), f"{path}{anchor}"


def slug(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading))
    return plain.strip().lower().replace(" ", "-")
