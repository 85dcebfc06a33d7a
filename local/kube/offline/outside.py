"""What runs beside an offline cluster: the local stack, open to pods; the stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

from local.kube.objects import NAMESPACE
from local.kube.offline import network
from local.kube.offline.authority import Authority
from local.kube.offline.stand_in_kafka import PORT, broker_name
from local.processes.process import ManagedProcess, ProcessSpec
from local.stack import Stack, StackConfig
from local.stack.exposure import Exposure

BROKERS = 3


class Outside:
    """Three brokers and a Postgres cluster at the address that pods can reach."""

    def __init__(self, state: Path) -> None:
        self.state = state.resolve()
        self._folder = self.state / "stack"
        self.stand_in = ManagedProcess(
            ProcessSpec(
                name="stand-in",
                command=[
                    *(sys.executable, "-m", "local.kube.offline.stand_in"),
                    str(self.state),
                ],
                directory=Path.cwd(),
                log=self.state / "stand-in.log",
                pid_file=self.state / "stand-in.json",
            )
        )

    def start(self) -> Stack:
        """Start the stack, unless it runs, and leave it running. Raises StackError."""
        if Stack.running(self._folder):
            return self.attach()
        authority = Authority(self.state / "authority")
        names = [
            f"{broker_name(number)}.{NAMESPACE}.svc" for number in range(1, BROKERS + 1)
        ]
        bootstrap = _names("once-kafka-bootstrap")
        authority.write("kafka", *bootstrap, *names)
        authority.write(
            "ledger", *_names("ledger-primary"), *_names("ledger-pgbouncer")
        )
        stack = Stack(
            StackConfig(
                state_dir=self._folder,
                brokers=BROKERS,
                postgres=BROKERS,
                exposure=Exposure(
                    address=network.HOST,
                    network=network.CIDR,
                    certificates=authority.folder,
                    broker_names=names,
                    broker_port=PORT,
                ),
            )
        )
        stack.start()
        stack.detach()
        return stack

    def attach(self) -> Stack:
        """The running stack. Raises StackError."""
        return Stack.attach(self._folder)

    def stop(self) -> None:
        """Stop all of it and remove its data."""
        self.stand_in.terminate()
        if Stack.running(self._folder):
            self.attach().stop()
        if self._folder.exists():
            Stack(StackConfig(state_dir=self._folder)).wipe()


def _names(service: str) -> list[str]:
    """Every name by which a pod may call a Service."""
    inside = f"{service}.{NAMESPACE}"
    return [service, inside, f"{inside}.svc", f"{inside}.svc.cluster.local"]
