"""local/prerequisites on machines that lack things, with a pretended apt-get.

The script is run as it is, with a PATH and a root folder of our own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import pytest

SCRIPT = Path(__file__).parents[2] / "local" / "prerequisites"
TOOLS = ("bash", "env", "sed", "mktemp", "rm", "tee", "chmod", "tail", "mkdir", "touch")

# Takes part in the play: writes down what it is asked, and "installs" it.
APT_GET = r"""#!/usr/bin/env bash
root=$PREREQUISITES_ROOT
[[ -e $root/usr/sbin/policy-rc.d ]] && policy=held || policy=absent
echo "$policy: $*" >>"$root/asked"
provide() { printf '#!/bin/sh\necho "%s" >&2\n' "$2" >"$1"; chmod 755 "$1"; }
for package in "$@"; do
    case $package in
        default-jre-headless) provide "$root/bin/java" 'openjdk version \"17.0.1\"' ;;
        maven) provide "$root/bin/mvn" '' ;;
        etcd-server) provide "$root/bin/etcd" '' ;;
        postgresql-common)
            mkdir -p "$root/etc/postgresql-common"
            echo '#create_main_cluster = true' \
                >"$root/etc/postgresql-common/createcluster.conf" ;;
        postgresql)
            mkdir -p "$root/usr/lib/postgresql/15/bin"
            printf '#!/bin/sh\necho "initdb (PostgreSQL) 15.4"\n' \
                >"$root/usr/lib/postgresql/15/bin/initdb"
            chmod 755 "$root/usr/lib/postgresql/15/bin/initdb" ;;
    esac
done
"""


class Machine:
    """A root folder whose bin/ is all that the script finds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("bin", "usr/sbin"):
            (root / folder).mkdir(parents=True)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (root / "bin" / tool).symlink_to(found)

    def program(self, name: str, content: str) -> None:
        path = self.root / "bin" / name
        # It may be a link to the real one, which a test must never write to.
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(0o755)

    def debian(self) -> None:
        self.program("apt-get", APT_GET)
        # A user who may become root without a password, if we are not root already.
        self.program("sudo", '#!/usr/bin/env bash\n"${@:2}"\n')
        (self.root / "bin" / "true").symlink_to(str(shutil.which("true")))

    def run(
        self,
        *groups: str,
        wrapped: tuple[str, ...] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        surroundings = {
            "PATH": str(self.root / "bin"),
            "PREREQUISITES_ROOT": str(self.root),
            "TMPDIR": str(self.root),
            **environment,
        }
        return subprocess.run(
            [*(wrapped or [SCRIPT]), *groups],
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def asked(self) -> list[str]:
        path = self.root / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not pytest's own folder, which nobody else may enter.
    with TemporaryDirectory(prefix="machine-") as folder:
        yield Machine(Path(folder))


def test_what_is_missing_is_installed_without_starting_a_service(
    machine: Machine,
) -> None:
    machine.debian()
    done = machine.run("stack")
    assert done.returncode == 0, done.stderr
    update, common, rest = machine.asked()
    assert update.endswith("update")
    assert common.endswith("postgresql-common"), "before the server makes a cluster"
    assert rest.endswith("default-jre-headless maven etcd-server postgresql")
    assert all(line.startswith("held:") for line in machine.asked())
    config = machine.root / "etc/postgresql-common/createcluster.conf"
    assert config.read_text() == "create_main_cluster = false\n"
    assert not (machine.root / "usr/sbin/policy-rc.d").exists(), "it is put back"


def test_a_second_run_finds_everything_and_is_silent(machine: Machine) -> None:
    machine.debian()
    machine.run("stack")
    asked = machine.asked()
    done = machine.run("stack")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.asked() == asked


def test_a_policy_of_the_machines_own_stays(machine: Machine) -> None:
    machine.debian()
    policy = machine.root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n# theirs\n")
    assert machine.run("stack").returncode == 0
    assert policy.read_text().endswith("# theirs\n")


@pytest.mark.parametrize("run", [1, 2])
def test_a_policy_that_a_killed_run_has_left_goes(machine: Machine, run: int) -> None:
    """Whether something is missing (the first run) or nothing (the second)."""
    machine.debian()
    policy = machine.root / "usr/sbin/policy-rc.d"
    # Killed as soon as the policy is there, by the number that it has written down.
    maker = f"$(sed -nE 's/.*process ([0-9]+)$/\\1/p' {policy})"
    machine.program("apt-get", f"#!/usr/bin/env bash\nkill -9 {maker}\n")
    assert machine.run("stack").returncode == -9
    assert "made by once/local/prerequisites" in policy.read_text()
    machine.program("apt-get", APT_GET)
    if run == 2:
        left = policy.read_text()
        assert machine.run("stack").returncode == 0
        policy.write_text(left)
    assert machine.run("stack").returncode == 0
    assert not policy.exists()


def test_a_policy_of_a_run_that_goes_on_stays(machine: Machine) -> None:
    machine.debian()
    policy = machine.root / "usr/sbin/policy-rc.d"
    text = f"# made by once/local/prerequisites, process {os.getpid()}\nexit 101\n"
    policy.write_text(text)
    assert machine.run("stack").returncode == 0
    assert policy.read_text() == text


def test_elsewhere_it_says_what_to_install(machine: Machine) -> None:
    done = machine.run("stack")
    assert done.returncode == 1
    assert done.stderr == (
        "prerequisites: missing: default-jre-headless maven etcd-server postgresql"
        " (Debian names); this is no Debian, please install them.\n"
    )


def test_a_check_installs_nothing_and_says_the_command(machine: Machine) -> None:
    machine.debian()
    done = machine.run("--check", "stack")
    assert done.returncode == 1
    assert "apt-get install default-jre-headless maven" in done.stderr
    assert machine.asked() == []


as_somebody = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="needs setpriv"
)


def as_user(machine: Machine, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as somebody who is not root, also where root runs the tests."""
    if os.geteuid() != 0:
        return machine.run("stack", environment=environment)
    for path in (machine.root, *machine.root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777)
    script = shutil.copy(SCRIPT, machine.root)  # the checkout may be closed to them
    nobody = ("--reuid=65534", "--regid=65534", "--clear-groups", "bash", str(script))
    wrapped = (str(shutil.which("setpriv")), *nobody)
    return machine.run("stack", wrapped=wrapped, environment=environment)


@as_somebody
def test_sudo_is_not_used_without_a_question(machine: Machine) -> None:
    machine.debian()
    done = as_user(machine)
    assert done.returncode == 1
    assert "run 'sudo apt-get install default-jre-headless" in done.stderr
    assert machine.asked() == []


@as_somebody
@pytest.mark.parametrize("said", ["CI", "ONCE_INSTALL"])
def test_sudo_is_used_where_it_was_allowed_beforehand(
    machine: Machine, said: str
) -> None:
    machine.debian()
    done = as_user(machine, **{said: "yes"})
    assert done.returncode == 0, done.stderr
    assert machine.asked()


@as_somebody
def test_without_sudo_it_says_the_command(machine: Machine) -> None:
    machine.debian()
    machine.program("sudo", "#!/bin/sh\nexit 1\n")
    done = as_user(machine, CI="true")
    assert done.returncode == 1
    assert "run 'sudo apt-get install default-jre-headless" in done.stderr


def test_a_java_that_is_too_old_is_missing(machine: Machine) -> None:
    machine.program("java", "#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    assert "default-jre-headless" in machine.run("stack").stderr


def test_a_python_that_is_too_old_is_named_with_the_way_out(machine: Machine) -> None:
    machine.program("python3", "#!/bin/sh\nexit 1\n")
    done = machine.run("python")
    assert done.returncode == 1
    assert done.stderr == (
        "prerequisites: python3 is no Python 3.11 or newer; point at one with"
        " PYTHON=/path/to/python3.\n"
    )


def test_an_unknown_group_is_refused(machine: Machine) -> None:
    done = machine.run("everything")
    assert done.returncode == 1
    assert "go, kube, alerts, monitoring or backups" in done.stderr
