"""A network namespace for dockerd and its containers, with one cable to this machine.

    this machine: 10.79.0.1 ======== 10.79.0.2, once-kind: dockerd, kind's nodes
    git                                         pods, the API server

The namespace has no way to any other network. This machine gets one route more, to the
cluster's Services; `remove` leaves nothing of either.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from local.processes import commands
from local.processes.errors import StackError

NAMESPACE = "once-kind"
CABLE = "once-kind0"  # this machine's end
HOST = "10.79.0.1"
INSIDE = "10.79.0.2"
CIDR = "10.79.0.0/24"
SERVICES = "10.96.0.0/16"
NAMES = "10.96.0.10"  # the cluster's name server, as kubeadm places it
RESOLVER = Path("/etc/netns", NAMESPACE, "resolv.conf")  # what `ip netns exec` shows


def create() -> None:
    """Make it; nothing when it is there. Needs root. Raises StackError."""
    if exists():
        return
    inside = enter_by_name()
    try:
        _run("ip", "netns", "add", NAMESPACE)
        cable = ["ip", "link", "add", CABLE, "type", "veth"]
        _run(*cable, "peer", "name", "eth0", "netns", NAMESPACE)
        _run("ip", "address", "add", f"{HOST}/24", "dev", CABLE)
        _run("ip", "link", "set", CABLE, "up")
        _run(*inside, "ip", "link", "set", "lo", "up")
        _run(*inside, "ip", "address", "add", f"{INSIDE}/24", "dev", "eth0")
        _run(*inside, "ip", "link", "set", "eth0", "up")
        # Pods reach what is outside by their node's default route, through here.
        _run(*inside, "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1")
        RESOLVER.parent.mkdir(parents=True, exist_ok=True)
        search = "search svc.cluster.local cluster.local"
        RESOLVER.write_text(f"nameserver {NAMES}\n{search}\noptions ndots:5\n")
    except (StackError, OSError) as error:
        remove()
        raise StackError(f"network namespace {NAMESPACE}: {error}") from error


def reach_services(node: str) -> None:
    """Let this machine reach the cluster's Services, through that node.

    Raises StackError where the machine has such Services of its own.
    """
    known = _run("ip", "route", "show", SERVICES)
    if known and CABLE not in known:
        raise StackError(f"this machine has a route to {SERVICES} already: {known}")
    _run(*enter_by_name("ip", "route", "replace", SERVICES, "via", node))
    _run("ip", "route", "replace", SERVICES, "via", INSIDE, "dev", CABLE)


def reach_pods(subnet: str, node: str) -> None:
    """Let those inside reach the pods of a node. Raises StackError."""
    _run(*enter_by_name("ip", "route", "replace", subnet, "via", node))


def require_unused() -> None:
    """Raises StackError while somebody works in the namespace."""
    pids = _run("ip", "netns", "pids", NAMESPACE).split() if exists() else []
    if pids:
        raise StackError(
            f"network namespace {NAMESPACE} is in use by {', '.join(pids)}: run "
            "'make kind-down' in the checkout that made it, or end them"
        )


def exists() -> bool:
    """Whether the namespace is there."""
    return Path("/run/netns", NAMESPACE).exists()


def remove() -> None:
    """Take it away, with the cable; nothing when it is not there."""
    if exists():
        _run("ip", "netns", "delete", NAMESPACE)
    shutil.rmtree(RESOLVER.parent, ignore_errors=True)
    if Path("/sys/class/net", CABLE).exists():
        _run("ip", "link", "delete", CABLE)


def enter(*command: str) -> list[str]:
    """The command line that runs `command` inside."""
    return ["nsenter", f"--net=/run/netns/{NAMESPACE}", *command]


def enter_by_name(*command: str) -> list[str]:
    """The same, for one that knows the names of the cluster."""
    return ["ip", "netns", "exec", NAMESPACE, *command]


def _run(*command: str) -> str:
    return commands.run(command, " ".join(command)).strip()
