"""A second address at which brokers and Postgres listen, by TLS: for containers.

On it every client shows a certificate to Kafka and a password to Postgres. What is on
127.0.0.1 stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

# The principal of a client is the common name of its certificate alone.
PRINCIPAL = "RULE:^.*CN=([A-Za-z0-9-]+).*$/CN=$1/,DEFAULT"


class Exposure(BaseModel):
    """Where to listen too, and with which certificates.

    The folder has `ca.pem`, and for each server `<name>.pem` (chain) and
    `<name>-key.pem`.
    """

    address: str
    network: str
    certificates: Path
    registry: bool = False  # the registry listens there alone, in plain HTTP

    def broker_properties(self, port: int) -> dict[str, object]:
        """What a broker adds to its configuration; `port` is where it listens.

        Both lists of listeners are for it to append to its own.
        """
        tls = "listener.name.tls.ssl"
        return {
            "listeners": f"TLS://{self.address}:{port}",
            "advertised.listeners": f"TLS://{self.address}:{port}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL"
            ),
            f"{tls}.keystore.type": "PEM",
            f"{tls}.keystore.location": self.certificates / "kafka-both.pem",
            f"{tls}.truststore.type": "PEM",
            f"{tls}.truststore.location": self.certificates / "ca.pem",
            f"{tls}.client.auth": "required",
            f"{tls}.principal.mapping.rules": PRINCIPAL,
        }

    @property
    def authentication(self) -> str:
        """The line of pg_hba.conf that lets clients of that network in."""
        return f"hostssl all all {self.network} scram-sha-256"

    @property
    def postgres_files(self) -> tuple[Path, Path]:
        """The server's certificate and its key."""
        return self.certificates / "ledger.pem", self.certificates / "ledger-key.pem"


def tls_port(broker: str) -> str:
    """The name of the port at which this broker listens there."""
    return f"{broker}-tls"
