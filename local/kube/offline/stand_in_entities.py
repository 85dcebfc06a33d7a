"""The part of the stand-in that does the work of Strimzi's entity operator."""

from __future__ import annotations

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
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
from local.processes.waiting import wait_until
from local.stack.kafka import alive_brokers

KNOWN_TIMEOUT_SECONDS = 30.0
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


class EntityOperator:
    """Topics, and users with their rights and certificates, on real brokers."""

    kinds: tuple[str, ...] = ("KafkaTopic", "KafkaUser")

    def __init__(self, api: Api, admin: AdminClient, authority: Authority) -> None:
        self._api = api
        self._admin = admin
        self._authority = authority
        self._done: set[tuple[str, str, int]] = set()

    def reconcile(self, found: Object) -> Object | None:
        """Make what it asks for; its status, once there are brokers."""
        kind, meta, spec = found["kind"], found["metadata"], found["spec"]
        name, once = meta["name"], (kind, meta["name"], meta["generation"])
        if once not in self._done and not alive_brokers(self._admin):
            return None
        status: Object = {"conditions": [objects.ready()]}
        if kind == "KafkaTopic":
            if once not in self._done:
                self._make_topic(name, spec)
            status["topicName"] = name
        else:
            self._make_user(meta["namespace"], name, spec, once)
            status |= {"username": f"CN={name}", "secret": name}
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
        if once not in self._done:
            self._give_rights(f"User:CN={name}", spec["authorization"]["acls"])

    def _give_rights(self, principal: str, acls: list[Object]) -> None:
        """Them all, and until the brokers know them: that comes a moment later."""
        bindings = [
            AclBinding(
                restype=_RESOURCES[acl["resource"]["type"]],
                name=acl["resource"].get("name", "kafka-cluster"),
                resource_pattern_type=_PATTERNS[
                    acl["resource"].get("patternType", "literal")
                ],
                principal=principal,
                host="*",
                operation=_OPERATIONS[operation],
                permission_type=AclPermissionType.ALLOW,
            )
            for acl in acls
            for operation in acl["operations"]
        ]
        for made in self._admin.create_acls(bindings).values():
            made.result()
        anything = AclBindingFilter(
            restype=ResourceType.ANY,
            name=None,  # type: ignore[arg-type]  # any
            resource_pattern_type=ResourcePatternType.ANY,
            principal=principal,
            host=None,  # type: ignore[arg-type]  # any
            operation=AclOperation.ANY,
            permission_type=AclPermissionType.ANY,
        )
        wait_until(
            lambda: len(self._admin.describe_acls(anything).result()) >= len(bindings),
            what=f"the rights of {principal}",
            timeout_seconds=KNOWN_TIMEOUT_SECONDS,
        )
