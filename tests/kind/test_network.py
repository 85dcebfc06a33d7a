"""Real packets between pods: a NetworkPolicy lets them through, or they are dropped.

What each pod may reach is worked out by the simulator that judges all manifests
(tests/manifests/network.py), so this holds the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby

import pytest

from local.kube.api import Object
from local.processes.errors import StackError
from tests.kind.conftest import Deployed, until
from tests.manifests import network
from tests.manifests.network import PART, Peer

PORTS = {
    "store": (8443, 9100),
    "bank": (9000,),
    "kafka": (9091, 9093),
    "ledger": (5432, 8008),
    "registry": (8080, 8443),
}
Judged = tuple[Object, Object, int, bool]  # who asks which port of whom; may it?
# A connection that is refused was let through; what is dropped says nothing.
ASK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reaches(at):
    try:
        socket.create_connection(tuple(at), 4).close()
    except TimeoutError:
        return False
    except ConnectionRefusedError:
        pass
    return True
asked = json.loads(sys.argv[1])
print(json.dumps(list(ThreadPoolExecutor(50).map(reaches, asked))))
"""


@pytest.fixture(scope="module")
def sources(deployed: Deployed) -> Iterator[list[Object]]:
    """A pod of each program in Python, one without labels, one of a stranger."""
    cluster = deployed.site.cluster
    found = running(deployed)
    of = {pod["metadata"]["labels"].get(PART): pod for pod in found}
    image = of["bank"]["spec"]["containers"][0]["image"]
    strange = {
        ("once", "nobody"): {"nobody": "knows"},
        ("default", "stranger"): {PART: "bank"},
    }
    for (space, name), labels in strange.items():
        cluster.apply(idle(space, name, labels, image))
    for space, name in strange:
        until(f"{name} to run", partial(is_running, deployed, space, name))
    made = [deployed.api.get("Pod", *at) for at in strange]
    assert all(made)
    yield [of["store"], of["bank"], *filter(None, made)]
    for space, name in strange:
        cluster.kubectl("delete", "pod", name, "--namespace", space, "--now")


def test_packets_go_where_the_simulator_lets_them(
    deployed: Deployed, sources: list[Object]
) -> None:
    found = deployed.site.cluster.get("networkpolicies", "--all-namespaces")["items"]
    targets = [
        (pod, port)
        for pod in running(deployed)
        for port in PORTS.get(pod["metadata"]["labels"].get(PART, ""), ())
    ]
    assert len({pod["metadata"]["labels"][PART] for pod, _ in targets}) == len(PORTS)
    judged = [
        (source, pod, port, network.allowed(found, peer(source), peer(pod), port))
        for source in sources
        for pod, port in targets
        if pod["status"]["podIP"] != source["status"]["podIP"]
    ]
    assert {wanted for *_, wanted in judged} == {True, False}
    # A network may need a moment to learn of the pods that were made now.
    left = ["nobody has looked"]

    def settled() -> bool:
        left[:] = wrong(deployed, judged)
        return not left

    with suppress(StackError):  # what is left says more
        until("packets to go their way", settled, 60)
    assert not left


def wrong(deployed: Deployed, judged: list[Judged]) -> list[str]:
    """What is open and should not be, or closed and should be open."""
    found = []
    for source, of_source in groupby(judged, key=lambda each: each[0]):
        mine = list(of_source)
        said = ask(deployed, source, [(pod, port) for _, pod, port, _ in mine])
        found += [
            f"{peer(source).name} -> {peer(pod).name}:{port} "
            f"is {'open' if reached else 'closed'}"
            for (_, pod, port, wanted), reached in zip(mine, said, strict=True)
            if reached != wanted
        ]
    return found


def is_running(deployed: Deployed, space: str, name: str) -> bool:
    """Whether that pod does."""
    pod = deployed.api.get("Pod", space, name) or {}
    return bool(pod.get("status", {}).get("phase") == "Running")


def running(deployed: Deployed) -> list[Object]:
    """The pods of our namespace that are there to stay."""
    return [
        pod
        for pod in deployed.api.list("Pod", "once")
        if pod["status"]["phase"] == "Running"
        and "deletionTimestamp" not in pod["metadata"]
    ]


def peer(pod: Object) -> Peer:
    """As the simulator knows it."""
    meta = pod["metadata"]
    return Peer(meta["name"], meta["namespace"], meta["labels"])


def ask(
    deployed: Deployed, source: Object, ports: list[tuple[Object, int]]
) -> list[bool]:
    """Which of these ports of pods answer to that pod."""
    meta = source["metadata"]
    asked = json.dumps([[pod["status"]["podIP"], port] for pod, port in ports])
    where = ("exec", "--namespace", meta["namespace"], meta["name"], "--")
    said = deployed.site.cluster.kubectl(*where, "python3", "-c", ASK, asked)
    answers: list[bool] = json.loads(said)
    return answers


def idle(space: str, name: str, labels: dict[str, str], image: str) -> Object:
    """A pod that does nothing, in the image of one of ours."""
    nothing = "import signal; signal.pause()"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "idle",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", nothing],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
