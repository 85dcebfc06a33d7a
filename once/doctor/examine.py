"""The whole examination: every part is asked, whatever became of the others."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka.admin import AdminClient

from once.doctor.kafka import check_kafka
from once.doctor.postgres import check_postgres
from once.doctor.registry import check_registry
from once.doctor.report import Finding, guarded
from once.doctor.settings import DoctorSettings
from once.errors import Defect
from once.kafka import Trouble, client


def examine(settings: DoctorSettings) -> Iterator[Finding]:
    """What each part says, one after the other; it raises nothing of our tree."""
    yield from guarded("Kafka", _kafka(settings))
    url, ca = settings.registry_url, settings.registry_ca
    yield from guarded("registry", check_registry(url, ca, settings.schemas))
    yield from guarded("Postgres", _postgres(settings))


def _kafka(settings: DoctorSettings) -> Iterator[Finding]:
    trouble = Trouble()
    admin = client(AdminClient, settings.client, trouble)
    yield from check_kafka(admin, settings.roles, trouble)


def _postgres(settings: DoctorSettings) -> Iterator[Finding]:
    conninfo = settings.doctor_conninfo or settings.migrator_conninfo
    if conninfo is None:
        raise Defect("ONCE_DOCTOR_CONNINFO is not set, nor ONCE_MIGRATOR_CONNINFO")
    yield from check_postgres(conninfo.get_secret_value())
