"""An environment of your own: all overlays of one that is there, with your names.

    python -m local environment eu --like production --domain pay.example.org \
        --account 123456789012 --region eu-west-1 --repository acme/once

Nothing is edited by hand afterwards. What all environments share (the region, the
repository and its images) is changed where it stands. `make test-kube` renders and
judges whatever environments there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from local.processes.errors import StackError

PARTS = ("argocd", "avro", "consumers", "postgres", "producers", "strimzi")
TEXTS = (".yaml", ".env", ".csv")
LIKE = ("test", "production")  # dev's bucket is the base's
HOSTS = re.compile(r"\b(store|argocd)\.(?:[a-z0-9-]+\.)?once\.example\b")
ISSUER = re.compile(r"\bid\.(?:[a-z0-9-]+\.)?once\.example\b")
ACCOUNT = re.compile(r"\b0{11}[0-3]\b")
# Where it stands what all environments have in common.
REGION = ("argocd/secrets/base/secret-store.yaml", r"region: ([\w-]+)")
REPOSITORY = (
    "argocd/environments/production/kustomization.yaml",
    r"repository=https://github\.com/([\w.-]+/[\w.-]+?)\.git",
)
_HOST = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
# How each must look, and such a one.
FORMS = {
    "name": (r"[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?", "eu"),
    "domain": (_HOST, "pay.example.org"),
    "issuer": (_HOST, "id.example.org"),
    "account": (r"(?!0{11})\d{12}", "123456789012"),
    "region": (r"[a-z]{2}(?:-[a-z]+)+-\d", "eu-west-1"),
    "repository": (r"[A-Za-z0-9][\w.-]*/[\w.-]+", "acme/once"),
    "bucket": (r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "acme-once-ledger"),
}


@dataclass(frozen=True)
class Asked:
    """What is yours, in the words of AWS and GitHub."""

    name: str
    like: str
    domain: str  # store.DOMAIN and argocd.DOMAIN
    account: str
    issuer: str  # the host of the identity provider
    bucket: str
    region: str | None = None  # None: as all have it
    repository: str | None = None


def make(root: Path, asked: Asked) -> list[Path]:
    """Write it; the paths that are new or changed. Raises StackError, before that."""
    _check(root, asked)
    asked = _with_what_is_common(root, asked)
    folders = _folders(root, asked.like)
    written = [
        _copied(file, folder.with_name(asked.name) / file.name, asked)
        for folder in folders
        for file in sorted(folder.iterdir())
    ]
    return sorted({*written, *_shared(root, asked)})


def _check(root: Path, asked: Asked) -> None:
    for field, (form, example) in FORMS.items():
        said = getattr(asked, field)
        if said is not None and not re.fullmatch(form, said):
            raise StackError(f"{field}: {said!r} is none (such as {example})")
    if asked.like not in LIKE:
        raise StackError(f"like: {asked.like!r} is none of {', '.join(LIKE)}")
    if (root / "argocd/environments" / asked.name).exists():
        raise StackError(
            f"environment {asked.name} is there: choose another name, or remove it"
        )


def _folders(root: Path, like: str) -> list[Path]:
    """Every folder that is that environment's alone."""
    found = [root / "argocd/environments" / like, root / "postgres/restore" / like]
    for part in PARTS:
        found += sorted((root / part).glob(f"**/overlays/{like}"))
    return found


def _copied(source: Path, target: Path, asked: Asked) -> Path:
    """The name of the other environment goes first: yours may have that word in it."""
    content = "".join(
        line if line.lstrip().startswith("#") else _renamed(line, asked)
        for line in source.read_text(encoding="utf-8").splitlines(keepends=True)
    )
    content = content.replace(f"once-{asked.name}-ledger", asked.bucket)
    content = HOSTS.sub(rf"\1.{asked.domain}", content)
    content = ISSUER.sub(asked.issuer, content)
    content = ACCOUNT.sub(asked.account, content)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")
    return target


def _renamed(line: str, asked: Asked) -> str:
    """But for the verb of a patch that tests."""
    return re.sub(rf"(?<!op: )\b{asked.like}\b", asked.name, line)


def _with_what_is_common(root: Path, asked: Asked) -> Asked:
    return replace(
        asked,
        region=asked.region or _common(root, *REGION),
        repository=asked.repository or _common(root, *REPOSITORY),
    )


def _common(root: Path, file: str, form: str) -> str:
    found = re.search(form, (root / file).read_text(encoding="utf-8"))
    if found is None:
        raise StackError(f"{file} does not say it: {form}")
    return found[1]


def _shared(root: Path, asked: Asked) -> Iterator[Path]:
    """What all environments have in common, wherever it is not yet as asked."""
    assert asked.region and asked.repository, "see make()"
    region, repository = _common(root, *REGION), _common(root, *REPOSITORY)
    owners = [name.partition("/")[0].lower() for name in (repository, asked.repository)]
    changes = [
        (re.escape(region), asked.region),
        # An image's name begins as the repository's may.
        (rf"{re.escape(repository)}(?![\w-])", asked.repository),
        (rf"ghcr\.io/{re.escape(owners[0])}/", f"ghcr.io/{owners[1]}/"),
    ]
    for part in PARTS:
        for file in sorted((root / part).glob("**/*")):
            if file.suffix in TEXTS and "fixtures" not in file.parts:
                content = changed = file.read_text(encoding="utf-8")
                for old, new in changes:
                    changed = re.sub(old, new, changed)
                if changed != content:
                    file.write_text(changed, encoding="utf-8")
                    yield file
