"""What Kafka's objects must say so that nothing is lost and nobody does too much."""

from __future__ import annotations

from tests.manifests.overlays import Object, dig, kinds, named

REPLICAS, IN_SYNC = 3, 2
ISR = "min.insync.replicas"
BROKER_CONFIG = {
    "default.replication.factor": REPLICAS,
    ISR: IN_SYNC,
    "offsets.topic.replication.factor": REPLICAS,
    "transaction.state.log.replication.factor": REPLICAS,
    "transaction.state.log.min.isr": IN_SYNC,
    "share.coordinator.state.topic.replication.factor": REPLICAS,
    "share.coordinator.state.topic.min.isr": IN_SYNC,
    "unclean.leader.election.enable": False,
    "auto.create.topics.enable": False,
}
DATED, BY_BROKER = "message.timestamp.type", "LogAppendTime"
TRANSFERS = "transfers"
# What a program calls a topic otherwise: BANK_TOPIC, STORE_RESULTS_TOPIC, ...
NAMED_BY = {
    TRANSFERS: "TOPIC",
    "transfer-results": "RESULTS_TOPIC",
    "transfer-receipts": "RECEIPTS_TOPIC",
}

Right = tuple[str, str, str, str]  # user, operation, type and name of a resource
# Without one of these, something stands still.
NEEDED: list[Right] = [
    ("store", "Write", "topic", "transfers"),
    ("store", "Write", "topic", "transfer-receipts"),
    ("store", "Read", "topic", "transfer-receipts"),
    ("store", "Read", "topic", "transfer-results"),
    ("store", "Write", "transactionalId", "store-1-0"),
    ("bank", "Read", "topic", "transfers"),
    ("bank", "Write", "topic", "transfer-results"),
    ("bank", "Write", "transactionalId", "bank-1.0"),
    ("bank", "Read", "group", "bank"),
    ("audit", "Read", "topic", "transfers"),
    ("audit", "Read", "topic", "transfer-results"),
    ("audit", "Describe", "group", "bank"),
    *(
        (user, "DescribeConfigs", "topic", topic)
        for user, topics in (
            ("store", ("transfers", "transfer-receipts", "transfer-results")),
            ("bank", ("transfers", "transfer-results")),
            ("audit", ("transfers", "transfer-results")),
        )
        for topic in topics
    ),
    ("tools", "Read", "topic", "transfers"),
    ("tools", "Describe", "group", "bank"),
]
# With one of these, somebody could break what another vouches for.
FORBIDDEN: list[Right] = [
    ("store", "Read", "topic", "transfers"),
    ("store", "Write", "topic", "transfer-results"),
    ("store", "Write", "transactionalId", "bank-1.0"),
    ("store", "Read", "group", "bank"),
    ("bank", "Write", "topic", "transfers"),
    ("bank", "Write", "topic", "transfer-receipts"),
    ("bank", "Write", "transactionalId", "store-1-0"),
    ("audit", "Read", "group", "bank"),
    ("tools", "Read", "group", "bank"),
    *(
        (user, operation, "topic", topic)
        for user in ("audit", "tools")
        for operation in ("Write", "Alter", "AlterConfigs", "Delete")
        for topic in ("transfers", "transfer-results", "transfer-receipts")
    ),
    *(
        (user, operation, "topic", "transfers")
        for user in ("store", "bank")
        for operation in ("AlterConfigs", "Delete")
    ),
    *(
        (user, "AlterConfigs", "cluster", "")
        for user in ("store", "bank", "audit", "tools")
    ),
]


def an_upgrade_can_go_back(objects: list[Object]) -> list[str]:
    """Unless it is said, the operator takes the newest format of metadata at once."""
    return [
        f"{named(cluster)}: set metadataVersion"
        for cluster in kinds(objects, "Kafka")
        if not dig(cluster, "spec", "kafka", "metadataVersion")
    ]


def every_record_is_kept_three_times(objects: list[Object]) -> list[str]:
    """Three replicas of which two must have it, in topics and in Kafka's own ones."""
    found = []
    for kafka in kinds(objects, "Kafka"):
        config = kafka["spec"]["kafka"]["config"]
        found += [
            f"{named(kafka)}: set {key} to {value}"
            for key, value in BROKER_CONFIG.items()
            if config.get(key) != value
        ]
    for pool in kinds(objects, "KafkaNodePool"):
        if pool["spec"]["replicas"] < REPLICAS:
            found.append(f"{named(pool)}: set replicas to {REPLICAS} or more")
    for topic in kinds(objects, "KafkaTopic"):
        if topic["spec"]["replicas"] != REPLICAS:
            found.append(f"{named(topic)}: set replicas to {REPLICAS}")
        if dig(topic, "spec", "config", ISR) != IN_SYNC:
            found.append(f"{named(topic)}: set {ISR} to {IN_SYNC}")
    return found


def records_are_dated_by_their_broker(objects: list[Object]) -> list[str]:
    """Retention must not count from a time that a producer made up."""
    return [
        f"{named(topic)}: set {DATED} to {BY_BROKER}"
        for topic in kinds(objects, "KafkaTopic")
        if dig(topic, "spec", "config", DATED) != BY_BROKER
    ]


def listeners_know_their_clients(objects: list[Object]) -> list[str]:
    """TLS on both sides, and rights that are looked up."""
    found = []
    for kafka in kinds(objects, "Kafka"):
        for listener in kafka["spec"]["kafka"]["listeners"]:
            if not listener["tls"]:
                found.append(f"{named(kafka)}: listener {listener['name']}: set tls")
            if dig(listener, "authentication", "type") != "tls":
                found.append(
                    f"{named(kafka)}: listener {listener['name']}:"
                    " let clients show a certificate"
                )
        if dig(kafka, "spec", "kafka", "authorization") != {"type": "simple"}:
            found.append(
                f"{named(kafka)}: set authorization simple, without superusers"
            )
    return found


def users_may_do_what_they_need_and_no_more(objects: list[Object]) -> list[str]:
    """Not all operations, nothing by a star but to look, and the two lists above.

    A topic is called what the settings call it (docs/runbooks/topic-recreated.md).
    """
    users = {user["metadata"]["name"]: user for user in kinds(objects, "KafkaUser")}
    found = [
        f"{named(user)}: {complaint}"
        for user in users.values()
        for acl in user["spec"]["authorization"]["acls"]
        for complaint in _too_wide(acl)
    ]
    for user, operation, kind, name in NEEDED:
        told = _topic_of(objects, user, name)
        if users and not _may(users.get(user), operation, kind, told):
            found.append(f"KafkaUser/{user}: allow {operation} {kind} {told}")
    for user, *right in FORBIDDEN:
        if _may(users.get(user), *right):
            found.append(f"KafkaUser/{user}: do not allow {' '.join(right).strip()}")
    return found


def workers_do_not_outnumber_partitions(objects: list[Object]) -> list[str]:
    """One partition has one owner: a worker without one costs and does nothing."""
    topics = {
        topic["metadata"]["name"]: topic for topic in kinds(objects, "KafkaTopic")
    }
    found = []
    for scaled in kinds(objects, "ScaledObject"):
        name = _topic_of(objects, "bank", TRANSFERS)
        if name not in topics:
            found.append(f"{named(scaled)}: there is no KafkaTopic {name}")
            continue
        partitions = topics[name]["spec"]["partitions"]
        limits = {
            "maxReplicaCount": dig(scaled, "spec", "maxReplicaCount"),
            "fallback.replicas": dig(scaled, "spec", "fallback", "replicas") or 0,
        }
        found += [
            f"{named(scaled)}: {key} is above the {partitions} partitions"
            for key, value in limits.items()
            if value > partitions
        ]
    return found


def who_is_scaled_says_no_number(objects: list[Object]) -> list[str]:
    """Else every sync would undo what the autoscaler did."""
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]
        for each in kinds(objects, "ScaledObject")
    }
    return [
        f"{named(obj)}: take replicas out, KEDA sets it"
        for obj in kinds(objects, "Deployment")
        if obj["metadata"]["name"] in scaled and "replicas" in obj["spec"]
    ]


def _topic_of(objects: list[Object], program: str, topic: str) -> str:
    """What the settings of a program call a topic; anything else is its own name."""
    setting = f"{program.upper()}_{NAMED_BY.get(topic, '')}"
    said = [dig(each, "data", setting) for each in kinds(objects, "ConfigMap")]
    return next((str(each) for each in said if each is not None), topic)


def _too_wide(acl: Object) -> list[str]:
    found = []
    resource = acl["resource"]
    if "All" in acl["operations"]:
        found.append(f"name the operations on {resource['type']} one by one")
    looks = all(each.startswith("Describe") for each in acl["operations"])
    if resource.get("name") == "*" and not looks:
        found.append(f"name the {resource['type']} instead of *")
    return found


def _may(user: Object | None, operation: str, kind: str, name: str) -> bool:
    if user is None:
        return False
    return any(
        {operation, "All"} & {*acl["operations"]}
        and acl["resource"]["type"] == kind
        and _is_meant(acl["resource"], name)
        for acl in user["spec"]["authorization"]["acls"]
    )


def _is_meant(resource: Object, name: str) -> bool:
    said = str(resource.get("name", ""))
    if resource.get("patternType") == "prefix":
        return name.startswith(said)
    return said in (name, "*")
