"""What Kafka's users may do by their manifests is enough for what they do."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificates

from local.kube.api import Api, Object
from local.kube.offline.authority import Authority
from local.kube.offline.stand_in_entities import EntityOperator
from local.platform import Platform
from local.processes.waiting import wait_until
from local.stack import Stack, StackConfig
from local.stack.exposure import Exposure
from once import renewal
from once.doctor.kafka import Role, require_fit, unfit_topics
from once.doctor.report import Finding, Level
from once.errors import Defect
from once.producer import TransactionalProducer
from tests.samples import EXAMPLES, POSTED, PYTHON, Sample, compiled
from tests.seeding import seed_accounts
from tests.stack.conftest import ROOT

pytestmark = pytest.mark.stack

ADDRESS = "127.0.0.2"  # 127.0.0.1 is where every client may do everything
BANK = {"transfers": Role.LOG, "transfer-results": Role.RESULTS}
STORE = {**BANK, "transfer-receipts": Role.RECEIPTS}
FOREIGN = ROOT / "strimzi" / "components" / "foreign-producer" / "user.yaml"
MOUNTED = "/etc/once"  # where a service of somebody's own has its Secret


class Users:
    """Stands for the API of a cluster: keeps the Secrets that users are given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return None

    def apply(self, made: Object) -> None:
        folder = self._folder / made["metadata"]["name"]
        folder.mkdir(exist_ok=True)
        for name, content in made["data"].items():
            (folder / name).write_bytes(base64.b64decode(content))


def user_of_the_manifests(name: str) -> Object:
    """The KafkaUser, to be changed by whoever asks."""
    documents = yaml.safe_load_all((ROOT / "strimzi/base/users.yaml").read_text())
    (user,) = (each for each in documents if each["metadata"]["name"] == name)
    found: Object = user
    return found


class Exposed:
    """A stack with one broker that wants certificates, and its users."""

    def __init__(self, platform: Platform, authority: Authority, folder: Path) -> None:
        self.platform = platform
        self._folder = folder
        admin = AdminClient(
            {"bootstrap.servers": platform.stack.endpoints.bootstrap_servers}
        )
        self._operator = EntityOperator(cast(Api, Users(folder)), admin, authority)

    def change_topic(self, name: str, **changed: str) -> None:
        """As if its manifest had been changed, `_` for each dot in the names."""
        documents = yaml.safe_load_all((ROOT / "strimzi/base/topics.yaml").read_text())
        (topic,) = (each for each in documents if each["metadata"]["name"] == name)
        topic["metadata"] |= {"namespace": "once", "generation": len(changed)}
        config = {key.replace("_", "."): value for key, value in changed.items()}
        topic["spec"]["config"] |= {"min.insync.replicas": 1, **config}
        self._operator.reconcile(topic)

    def admin(self, name: str, *, without: str = "") -> AdminClient:
        """The client of a user of the manifests, or of one with less rights."""
        user = user_of_the_manifests(name)
        if without:
            name = user["metadata"]["name"] = f"{name}-less"
            for acl in user["spec"]["authorization"]["acls"]:
                acl["operations"] = [op for op in acl["operations"] if op != without]
        return AdminClient({**self._client(self.secret_of(user)), "log_level": 2})

    def client(self, name: str) -> dict[str, str]:
        """Settings of a client of this user of the manifests."""
        return self._client(self.secret_of(user_of_the_manifests(name)))

    def renew(self, name: str) -> None:
        """Its Secret gets another certificate, as the user operator would do it."""
        self.client(name)

    def _client(self, secret: Path) -> dict[str, str]:
        files = {
            f"ssl.{key}.location": str(secret / file)
            for key, file in (
                ("ca", "ca.crt"),
                ("certificate", "user.crt"),
                ("key", "user.key"),
            )
        }
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": "SSL",
            **files,
        }

    @property
    def bootstrap_servers(self) -> str:
        """Where a certificate is asked for."""
        return f"{ADDRESS}:{self.platform.stack.endpoints.ports['kafka-1-tls']}"

    def secret_of(self, user: Object) -> Path:
        """Give a user its rights and its certificate: the files of its Secret."""
        user["metadata"] |= {"namespace": "once", "generation": 1}
        self._operator.reconcile(user)
        return self._folder / str(user["metadata"]["name"])


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    folder = tmp_path_factory.mktemp("users")
    authority = Authority(folder / "authority")
    authority.write("kafka", ADDRESS)
    authority.write("ledger", ADDRESS)
    config = StackConfig(
        state_dir=folder / "stack",
        jars_dir=ROOT / ".local" / "jars",
        brokers=1,
        postgres=1,
        exposure=Exposure(
            address=ADDRESS, network="127.0.0.0/8", certificates=authority.folder
        ),
    )
    with Stack(config) as stack:
        platform = Platform(stack, "", folder)
        platform.set_up(partitions=1)
        yield Exposed(platform, authority, folder)


def said(findings: list[Finding]) -> set[tuple[str, Level]]:
    return {(each.found, each.level) for each in findings}


@pytest.mark.parametrize(
    ("user", "roles"), [("bank", BANK), ("store", STORE), ("audit", BANK)]
)
def test_a_user_of_the_manifests_sees_its_topics(
    exposed: Exposed, user: str, roles: dict[str, Role]
) -> None:
    findings = require_fit(exposed.admin(user), roles)
    assert said(findings) == {("1", Level.WARNING)}  # one broker, one replica
    assert len(findings) == len(roles)


def test_without_the_right_to_see_settings_there_is_a_warning(exposed: Exposed) -> None:
    admin = exposed.admin("bank", without="DescribeConfigs")
    findings = require_fit(admin, BANK)
    assert said(findings) == {("1", Level.WARNING), ("hidden", Level.WARNING)}
    assert len(findings) == 2 * len(BANK)


def test_a_manifest_that_changes_changes_the_topic(exposed: Exposed) -> None:
    admin = exposed.admin("bank")
    exposed.change_topic("transfer-results")  # they are kept longer than transfers
    one_replica, dated = ("1", Level.WARNING), ("CreateTime", Level.WARNING)
    for changed, expected in (
        ({"message_timestamp_type": dated[0]}, {one_replica, dated}),
        ({}, {one_replica}),
    ):
        exposed.change_topic("transfers", **changed)
        wait_until(
            lambda: said(unfit_topics(admin, BANK)) == expected,
            what=f"the broker to know {changed}",
            timeout_seconds=30.0,
        )


def test_a_producer_takes_the_certificate_that_replaced_its_own(
    exposed: Exposed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.1)
    settings = exposed.client("store")
    certificate = Path(settings["ssl.certificate.location"])
    first = certificate.read_bytes()
    producer = TransactionalProducer(settings, "store-renewed")
    producer.recycle()
    producer.send("transfers", {0: [{"key": b"1", "value": b"old"}]})
    assert not producer.outdated()
    exposed.renew("store")
    assert certificate.read_bytes() != first
    wait_until(producer.outdated, what="the change to be seen", timeout_seconds=10)
    producer.recycle()
    producer.send("transfers", {0: [{"key": b"1", "value": b"new"}]})
    producer.close()


def test_a_topic_that_is_not_ours_is_a_defect(exposed: Exposed) -> None:
    with pytest.raises(Defect, match="topic transfer-receipts: .*[Aa]uthorization"):
        unfit_topics(exposed.admin("bank"), {"transfer-receipts": Role.RECEIPTS})


def as_strimzi_makes_it(secret: Path) -> None:
    """The two files of a user's Secret that the stand-in leaves out."""
    password = b"as random as Strimzi's"
    key = load_pem_private_key((secret / "user.key").read_bytes(), None)
    chain = load_pem_x509_certificates((secret / "user.crt").read_bytes())
    assert isinstance(key, EllipticCurvePrivateKey)
    kept = pkcs12.serialize_key_and_certificates(
        b"user", key, chain[0], chain[1:], BestAvailableEncryption(password)
    )
    (secret / "user.p12").write_bytes(kept)
    (secret / "user.password").write_bytes(password)


@pytest.mark.parametrize("client", ["librdkafka", "java"])
def test_a_foreign_producer_pays_with_the_rights_of_its_component(
    exposed: Exposed, tmp_path: Path, client: str
) -> None:
    platform = exposed.platform
    seed_accounts(platform, 1, 2, credit_limit=1_000)
    secret = exposed.secret_of(yaml.safe_load(FOREIGN.read_text()))
    as_strimzi_makes_it(secret)
    command = PYTHON
    if client == "java":
        command = compiled(platform.stack.endpoints.jars_dir, tmp_path)
    text = (EXAMPLES / "kubernetes" / f"{client}.properties").read_text()
    properties = tmp_path / "kafka.properties"
    properties.write_text(text.replace(MOUNTED, str(secret)))
    environment = {
        "BOOTSTRAP_SERVERS": exposed.bootstrap_servers,
        "REGISTRY_URL": platform.stack.endpoints.registry_url,
        "KAFKA_PROPERTIES": str(properties),
    }
    sample = Sample(command, environment)
    with platform.bank():
        first = sample.pay(tmp_path / "order.json", 1, 2, 100)
        again = sample.pay(tmp_path / "order.json")
    assert (first.status, first.last) == (POSTED, "POSTED"), first.text
    assert again.last.endswith(" was POSTED"), again.text


def test_a_foreign_producer_reads_no_payments_and_writes_no_results(
    exposed: Exposed, tmp_path: Path
) -> None:
    secret = exposed.secret_of(yaml.safe_load(FOREIGN.read_text()))
    text = (EXAMPLES / "kubernetes" / "librdkafka.properties").read_text()
    lines = text.replace(MOUNTED, str(secret)).splitlines()
    settings: dict[str, Any] = dict(line.split("=", 1) for line in lines)
    settings |= {"bootstrap.servers": exposed.bootstrap_servers, "log_level": 2}
    told: list[Any] = []
    producer = Producer(settings)
    for topic in ("transfer-results", "transfer-receipts"):
        producer.produce(topic, b"", on_delivery=lambda error, _: told.append(error))
    producer.flush(30)
    consumer = Consumer({**settings, "group.id": "foreign-producer"})
    consumer.assign([TopicPartition("transfers", 0, 0)])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    refused = KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert [each.code() for each in (*told, message.error())] == [refused] * 3
