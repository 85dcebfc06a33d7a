"""A network namespace for dockerd and its containers, with one cable to this machine.

    this machine: 10.79.0.1 ======== 10.79.0.2, once-kind: dockerd, kind's nodes
    brokers, Postgres, git                      pods, the API server

The namespace has no way to any other network. Nothing of the machine's own network is
changed, and `remove` leaves nothing of it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from local.errors import StackError

NAMESPACE = "once-kind"
CABLE = "once-kind0"  # this machine's end
HOST = "10.79.0.1"
INSIDE = "10.79.0.2"
CIDR = "10.79.0.0/24"
SERVICES = "10.96.0.0/16"


def create() -> None:
    """Make it; nothing when it is there. Needs root. Raises StackError."""
    if exists():
        return
    inside = ["ip", "netns", "exec", NAMESPACE]
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
    except StackError:
        remove()
        raise


def reach_services(node: str) -> None:
    """Let this machine reach the cluster's Services, through that node."""
    inside = ["ip", "netns", "exec", NAMESPACE]
    _run(*inside, "ip", "route", "replace", SERVICES, "via", node)
    _run("ip", "route", "replace", SERVICES, "via", INSIDE, "dev", CABLE)


def exists() -> bool:
    """Whether the namespace is there."""
    return Path("/run/netns", NAMESPACE).exists()


def remove() -> None:
    """Take it away, with the cable; nothing when it is not there."""
    if exists():
        _run("ip", "netns", "delete", NAMESPACE)
    if Path("/sys/class/net", CABLE).exists():
        _run("ip", "link", "delete", CABLE)


def enter(*command: str) -> list[str]:
    """The command line that runs `command` inside."""
    return ["nsenter", f"--net=/run/netns/{NAMESPACE}", *command]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command)}: {done.stderr.strip()}")
