"""Where the doctor looks, from the environment (ONCE_...).

The one place in `once` that names topics and schemas: as defaults, for a command that
looks at all of them.
"""

from __future__ import annotations

from pydantic import Field, SecretStr

from once.doctor.kafka import Role
from once.settings import KafkaAndRegistrySettings

_SCHEMAS = {
    Role.LOG: "avro/transfer.avsc",
    Role.RESULTS: "avro/transfer-results.avsc",
    Role.RECEIPTS: "avro/transfer-receipts.avsc",
}
_CHANGE = "once.payments.AccountChange"  # of the log, too: by topic and record


class DoctorSettings(KafkaAndRegistrySettings):
    """What the whole platform uses."""

    doctor_conninfo: SecretStr | None = Field(
        None, description="of the primary, any role that may read (`audit`)"
    )
    migrator_conninfo: SecretStr | None = Field(
        None, description="used where the one above is not given"
    )

    topic: str = Field("transfers", description="the log")
    results_topic: str = Field("transfer-results", description="of the Bank")
    receipts_topic: str = Field("transfer-receipts", description="of the Stores")

    @property
    def roles(self) -> dict[str, Role]:
        """What each topic is for."""
        return {
            self.topic: Role.LOG,
            self.results_topic: Role.RESULTS,
            self.receipts_topic: Role.RECEIPTS,
        }

    @property
    def schemas(self) -> dict[str, str]:
        """The file with the schema of each subject."""
        of = {f"{topic}-value": _SCHEMAS[role] for topic, role in self.roles.items()}
        return {**of, f"{self.topic}-{_CHANGE}": "avro/account-change.avsc"}
