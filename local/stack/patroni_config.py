"""What Patroni and Postgres are told: settings only, no process and no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.stack.endpoints import HOST
from local.stack.etcd import Credentials
from local.stack.exposure import Exposure
from local.stack.passwords import PATRONI_API, REPLICATION, SUPERUSER

SCOPE = "once"
# A node that dies loses the lease after this long. Patroni accepts no less than 20 s:
# it raises smaller values to 20 with a warning.
LEASE_SECONDS = 20
LOOP_WAIT_SECONDS = 2
RETRY_TIMEOUT_SECONDS = (
    5  # LOOP_WAIT_SECONDS + 2 * RETRY_TIMEOUT_SECONDS must stay within LEASE_SECONDS
)
# A crashed postmaster gets this long to recover before another node takes over.
PRIMARY_START_TIMEOUT_SECONDS = 10
LAG_ON_FAILOVER_BYTES_MAX = 16 * 1024 * 1024
CONNECTIONS_MAX = 200

AUTHENTICATION = (
    f"host replication {REPLICATION} {HOST}/32 scram-sha-256",
    f"host all all {HOST}/32 scram-sha-256",
)
# A socket is there where backups are taken, and for them alone.
SOCKET = (f"local all {SUPERUSER} scram-sha-256",)
INITDB_OPTIONS = {
    "encoding": "UTF8",
    "locale": "C",
    "auth-local": "scram-sha-256",
    "auth-host": "scram-sha-256",
}


def server_parameters(*, lz4: bool) -> dict[str, str | int]:
    """Settings of every server, replicated or not. Durability is never relaxed."""
    return {
        "max_connections": CONNECTIONS_MAX,
        "shared_buffers": "256MB",
        "max_wal_size": "4GB",
        "min_wal_size": "512MB",
        "wal_buffers": "16MB",
        "wal_compression": "lz4" if lz4 else "on",
        "wal_log_hints": "on",
        "checkpoint_timeout": "15min",
        "synchronous_commit": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "jit": "off",
        "password_encryption": "scram-sha-256",
        "unix_socket_directories": "",
        # A partner that stopped answering is dropped before its lease would end.
        "wal_sender_timeout": "15s",
        "wal_receiver_timeout": "15s",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_checkpoints": "on",
        "log_lock_waits": "on",
    }


@dataclass(frozen=True)
class NodeConfig:
    """One node of the cluster."""

    name: str
    home: Path
    port: int
    patroni_port: int
    etcd_port: int
    bin_dir: Path
    passwords: Mapping[str, str]
    lz4: bool
    exposure: Exposure | None = None
    archiving: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def certificate(self) -> tuple[Path, Path]:
        """Where this node keeps the certificate it shows, and its key."""
        return self.home / "server.pem", self.home / "server-key.pem"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def _etcd(self) -> dict[str, str]:
        shown = Credentials(self.home)
        return {
            "host": f"{HOST}:{self.etcd_port}",
            "protocol": "https",
            "cacert": str(shown.authority),
            "cert": str(shown.certificate),
            "key": str(shown.certificate),
        }

    def patroni(self) -> dict[str, object]:
        """Patroni's configuration file (YAML takes JSON)."""
        return {
            "scope": SCOPE,
            "name": self.name,
            "etcd3": self._etcd,
            "restapi": {
                "listen": f"{HOST}:{self.patroni_port}",
                "connect_address": f"{HOST}:{self.patroni_port}",
                # For what changes something; health is for everybody.
                "authentication": self._login(PATRONI_API),
            },
            "log": {"level": "INFO", "format": "%(asctime)s %(levelname)s %(message)s"},
            "bootstrap": self._bootstrap(),
            "postgresql": {
                "listen": f"{','.join(self._addresses)}:{self.port}",
                "connect_address": f"{HOST}:{self.port}",
                "bin_dir": str(self.bin_dir),
                "data_dir": str(self.data),
                "pgpass": str(self.home / "pgpass"),
                "authentication": {
                    "superuser": self._login(SUPERUSER),
                    "replication": self._login(REPLICATION),
                },
                "pg_hba": self._authentication,
                "parameters": self._parameters,
                "create_replica_methods": ["basebackup"],
                "basebackup": [{"checkpoint": "fast"}],
            },
        }

    @property
    def _addresses(self) -> list[str]:
        return [HOST, self.exposure.address] if self.exposure else [HOST]

    @property
    def _authentication(self) -> list[str]:
        more = [self.exposure.authentication] if self.exposure else []
        return [*AUTHENTICATION, *SOCKET, *more]

    @property
    def _parameters(self) -> dict[str, str | int]:
        """What is this node's own; all else is the cluster's."""
        if self.exposure is None:
            return dict(self.archiving)
        chain, key = self.certificate
        return {
            **self.archiving,
            "ssl": "on",
            "ssl_cert_file": str(chain),
            "ssl_key_file": str(key),
        }

    def _bootstrap(self) -> dict[str, object]:
        initdb: list[object] = ["data-checksums"]
        initdb += [{key: value} for key, value in INITDB_OPTIONS.items()]
        return {
            "dcs": {
                "ttl": LEASE_SECONDS,
                "loop_wait": LOOP_WAIT_SECONDS,
                "retry_timeout": RETRY_TIMEOUT_SECONDS,
                "primary_start_timeout": PRIMARY_START_TIMEOUT_SECONDS,
                "primary_stop_timeout": PRIMARY_START_TIMEOUT_SECONDS,
                "maximum_lag_on_failover": LAG_ON_FAILOVER_BYTES_MAX,
                "synchronous_mode": True,
                # No standby, no commit: an acknowledged payment is on two disks.
                "synchronous_mode_strict": True,
                "synchronous_node_count": 1,
                "postgresql": {
                    "use_pg_rewind": True,
                    "use_slots": True,
                    # A diverged node that cannot be rewound is copied anew.
                    "remove_data_directory_on_rewind_failure": True,
                    "remove_data_directory_on_diverged_timelines": True,
                    "parameters": {
                        **server_parameters(lz4=self.lz4),
                        "max_wal_senders": 10,
                        "max_replication_slots": 10,
                        "wal_keep_size": "256MB",
                    },
                },
            },
            "initdb": initdb,
        }

    def _login(self, user: str) -> dict[str, str]:
        return {"username": user, "password": self.passwords[user]}
