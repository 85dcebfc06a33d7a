"""Links resolve, targets exist, and every page is at most two clicks from README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, text

PAGES = [path for path in files() if path.suffix == ".md"]
FRONT, MAP = Path("README.md"), Path("docs/README.md")

FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
ELSEWHERE = re.compile(r"^[a-z]+:")
HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")

TARGET = re.compile(r"^([a-z][\w-]*):", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
MAKE = re.compile(r"(?:^|[;&|(] *)(?:[A-Z_]+=\S+ )*make ([^#;|&)\n]*)", re.MULTILINE)
WORD = re.compile(r"^[a-z][a-z-]*$")

PLACEHOLDER = re.compile(
    r"once\.example|\b00000000000[0-3]:|once-platform|eu-central-1"
    r"|\bonce-(?:dev|test|production)-ledger|sha256:0{64}|slack:once-deployments"
)


def prose(content: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", content)


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each link of a page to a file here, as written, where to, and the anchor."""
    content = prose(text(page) or "")
    found = LINK.findall(content) + [a or b for a, b in IMAGE.findall(content)]
    for link in found:
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page.parent / path).resolve() if path else (ROOT / page)
        yield link, target, anchor


def slugs(content: str) -> set[str]:
    """The anchors that a forge gives to the headings of a page."""
    seen: dict[str, int] = {}
    found = set(ANCHOR.findall(content))
    for heading in HEADING.findall(prose(content)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_what_is_there(page: Path) -> None:
    broken = [
        link
        for link, target, anchor in links(page)
        if not target.exists()
        or (anchor and anchor not in slugs(target.read_text()))
        or not target.is_relative_to(ROOT)
    ]
    assert broken == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# It is `so`\n\n[a](#it-is-so) [b](no.md#x)\n```\n[c](c)\n```\n")
    assert slugs(page.read_text()) == {"it-is-so"}
    assert [link for link, target, _ in links(page) if not target.exists()] == [
        "no.md#x"
    ]


def targets() -> set[str]:
    """What make can make."""
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def made(content: str) -> Iterator[str]:
    """The targets that the code in a page makes."""
    blocks = [found.group() for found in FENCE.finditer(content)]
    code = "\n".join([*blocks, *SPAN.findall(prose(content))])
    for words in MAKE.findall(code):
        for word in words.split("  ")[0].split():
            if not WORD.match(word):
                break
            yield word


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_target_that_a_page_names_exists(page: Path) -> None:
    known = targets()
    tools = {path.name for path in files() if path.parts[0] == "bin"}
    tools |= {f"kind-{tool}" for tool in tools}  # the pattern kind-kafka-%
    named = {word for word in made(text(page) or "")}
    assert sorted(named - known - tools) == []


def test_a_target_that_is_not_there_is_noticed() -> None:
    block = "```\nK=1 make kind-up   # so\nmake up set-up\n```\n"
    content = f"make it: `make nothing`\n{block}"
    assert sorted(made(content)) == ["kind-up", "nothing", "set-up", "up"]
    assert {"up", "set-up", "demo"} <= targets()
    assert "nothing" not in targets()


@cache
def reached(page: Path) -> set[Path]:
    """The pages that a page links to; a folder is its README."""
    found = set()
    for _, target, _ in links(page):
        target = target / "README.md" if target.is_dir() else target
        if target.suffix == ".md" and target.is_relative_to(ROOT):
            found.add(target.relative_to(ROOT))
    return found


def test_every_page_is_at_most_two_clicks_from_the_front() -> None:
    first = reached(FRONT)
    assert MAP in first, f"{FRONT} links {MAP}"
    second = {page for each in first for page in reached(each)}
    assert sorted(map(str, set(PAGES) - {FRONT} - first - second)) == []


def test_the_index_of_decisions_has_their_titles() -> None:
    titled = {
        path.name: re.sub(r"^# \d+\. ", "", (text(path) or "").partition("\n")[0])
        for path in PAGES
        if path.match("docs/adr/0*.md")
    }
    index = (ROOT / "docs/adr/README.md").read_text()
    rows = re.findall(r"^\| \[\d+\]\((.+?)\) \| (.+) \|$", index, re.MULTILINE)
    assert dict(rows) == titled


def test_every_placeholder_is_in_the_table_of_what_is_yours() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    table = page.split("### What is yours\n")[1].split("\n### ")[0]
    named = re.findall(r"`([\w*./-]+\.(?:yaml|csv))`", table)
    manifests = [path for path in files() if path.suffix in (".yaml", ".env", ".csv")]
    holding = {
        str(path)
        for path in manifests
        if "fixtures" not in path.parts and PLACEHOLDER.search(text(path) or "")
    }
    assert len(holding) > 20
    assert [p for p in sorted(holding) if not any(fnmatch(p, n) for n in named)] == []
    assert [n for n in named if not any(fnmatch(str(p), n) for p in files())] == []
