"""The part of the stand-in that does Strimzi's work on brokers outside the cluster."""

from __future__ import annotations

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from local.kube import objects
from local.kube.api import Api, Object
from local.kube.offline.authority import Authority
from local.stack import Stack

CLUSTER = "once"
PORT = 9093
VERSION = "4.3.1"
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,  # librdkafka's name for the cluster
}
_PATTERNS = {
    "literal": ResourcePatternType.LITERAL,
    "prefix": ResourcePatternType.PREFIXED,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


def broker_name(number: int) -> str:
    """The Service by which clients reach one broker."""
    return f"{CLUSTER}-broker-{number}"


class KafkaOperator:
    """Topics, and users with their rights and certificates, on the real brokers."""

    kinds: tuple[str, ...] = (
        "Kafka",
        "KafkaNodePool",
        "KafkaRebalance",
        "KafkaTopic",
        "KafkaUser",
    )

    def __init__(self, api: Api, stack: Stack, authority: Authority) -> None:
        self._api = api
        self._stack = stack
        self._authority = authority
        self._admin = AdminClient(
            {"bootstrap.servers": stack.endpoints.bootstrap_servers, "log_level": 2}
        )
        self._done: set[tuple[str, str, int]] = set()

    def services(self, namespace: str) -> None:
        """One name for all brokers and one for each, and who vouches for them."""
        if ("services", namespace, 0) in self._done:
            return
        endpoints = self._stack.endpoints
        assert endpoints.exposure is not None, "the stack listens for this machine only"
        address = endpoints.exposure.address
        brokers = [
            (address, endpoints.ports[f"kafka-{number}-tls"])
            for number in range(1, endpoints.brokers + 1)
        ]
        made = objects.outside_service(
            namespace, f"{CLUSTER}-kafka-bootstrap", PORT, brokers
        )
        for number, broker in enumerate(brokers, 1):
            made += objects.outside_service(
                namespace, broker_name(number), PORT, [broker]
            )
        authority = {"ca.crt": self._authority.certificate.read_bytes()}
        made.append(objects.secret(namespace, f"{CLUSTER}-cluster-ca-cert", authority))
        for each in made:
            self._api.apply(each)
        self._done.add(("services", namespace, 0))

    def reconcile(self, found: Object) -> Object:
        """Make what it asks for; its status."""
        kind, meta, spec = found["kind"], found["metadata"], found.get("spec", {})
        status: Object = {"conditions": [objects.ready()]}
        once = (kind, meta["name"], meta["generation"])
        if kind == "KafkaTopic":
            if once not in self._done:
                self._make_topic(meta["name"], spec)
            status["topicName"] = meta["name"]
        elif kind == "KafkaUser":
            self._make_user(meta["namespace"], meta["name"], spec, once)
            status |= {"username": f"CN={meta['name']}", "secret": meta["name"]}
        elif kind == "Kafka":
            status["kafkaVersion"] = VERSION
        elif kind == "KafkaNodePool":
            status["replicas"] = spec["replicas"]
            status["nodeIds"] = list(range(1, spec["replicas"] + 1))
        elif kind == "KafkaRebalance":
            condition = {**objects.ready(), "type": "Template"}
            status["conditions"] = [condition]
        self._done.add(once)
        return status

    def _make_topic(self, name: str, spec: Object) -> None:
        """Where it is missing; else its settings. A real operator changes it all."""
        config = {key: str(value) for key, value in spec["config"].items()}
        if name in self._admin.list_topics(timeout=10).topics:
            self._set_up_topic(name, config)
            return
        wanted = NewTopic(
            name,
            num_partitions=spec["partitions"],
            replication_factor=spec["replicas"],
            config=config,
        )
        for made in self._admin.create_topics([wanted]).values():
            made.result()

    def _set_up_topic(self, name: str, config: dict[str, str]) -> None:
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        asked = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        for done in self._admin.incremental_alter_configs([asked]).values():
            done.result()

    def _make_user(
        self, namespace: str, name: str, spec: Object, once: tuple[str, str, int]
    ) -> None:
        """Its certificate whenever it is missing; its rights once."""
        if self._api.get("Secret", namespace, name) is None:
            pair = self._authority.issue(name)
            content = {
                "ca.crt": pair.authority,
                "user.crt": pair.chain,
                "user.key": pair.key,
            }
            self._api.apply(objects.secret(namespace, name, content))
        if once in self._done:
            return
        bindings = [
            AclBinding(
                restype=_RESOURCES[acl["resource"]["type"]],
                name=acl["resource"].get("name", "kafka-cluster"),
                resource_pattern_type=_PATTERNS[
                    acl["resource"].get("patternType", "literal")
                ],
                principal=f"User:CN={name}",
                host="*",
                operation=_OPERATIONS[operation],
                permission_type=AclPermissionType.ALLOW,
            )
            for acl in spec["authorization"]["acls"]
            for operation in acl["operations"]
        ]
        for made in self._admin.create_acls(bindings).values():
            made.result()
