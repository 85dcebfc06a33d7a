"""The part of the stand-in that runs what Strimzi's cluster operator would run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.kube import objects
from local.kube.api import Api, Object
from local.kube.objects import NAMESPACE
from local.kube.offline import operated
from local.kube.offline.authority import Authority
from local.kube.offline.data_images import KAFKA, KAFKA_VERSION
from local.stack.exposure import PRINCIPAL
from local.stack.kafka import CLUSTER_ID, LOGGING

CLUSTER = "once"
POOL = "broker"  # the pool whose pods are brokers, and here controllers too
PODS = f"{CLUSTER}-{POOL}"
BOOTSTRAP = f"{CLUSTER}-kafka-bootstrap"
BETWEEN_BROKERS = 9091
ITSELF = f"{CLUSTER}-kafka"  # the name that brokers show to each other
DATA = "/var/lib/kafka/data-0/kafka-log"
KEYS = "/etc/kafka-tls"
LISTENERS = {"CONTROLPLANE-9090": 9090, "REPLICATION-9091": 9091, "TLS-9093": 9093}


def host(pod: str) -> str:
    """The name by which everybody reaches one broker."""
    return f"{pod}.{CLUSTER}-kafka-brokers.{NAMESPACE}.svc"


class KafkaOperator:
    """Brokers as pods, with the settings of Kafka and KafkaNodePool."""

    kinds: tuple[str, ...] = ("Kafka", "KafkaNodePool", "KafkaRebalance")

    def __init__(self, api: Api, authority: Authority) -> None:
        self._api = api
        self._authority = authority

    def reconcile(self, found: Object) -> Object | None:
        """Make what it asks for; its status, once there is something to say.

        The statuses are those that Strimzi 1.2.0 wrote to these very resources.
        """
        kind, spec = found["kind"], found.get("spec", {})
        if kind == "KafkaRebalance":
            return {"conditions": [{**objects.ready(), "type": "Template"}]}
        if kind == "KafkaNodePool":
            return _pool_status(found)
        pool = self._api.get("KafkaNodePool", NAMESPACE, POOL)
        if pool is None:
            return None
        self._vouch(pool["spec"]["replicas"])
        operated.apply_changed(self._api, documents(spec["kafka"], pool["spec"]))
        if not (_is_ready(found) or self._all_run()):
            return None
        return {"conditions": [objects.ready()], "kafkaVersion": KAFKA_VERSION}

    def _vouch(self, replicas: int) -> None:
        """Who the brokers are, and who says so."""
        pods = [f"{PODS}-{number}" for number in range(1, replicas + 1)]
        names = [*objects.names_of(BOOTSTRAP), *map(host, pods)]
        secret = f"{CLUSTER}-kafka-brokers"
        kept = self._api.get("Secret", NAMESPACE, secret)
        if kept is not None and self._authority.vouched(kept, names):
            return
        pair = self._authority.issue(ITSELF, *names)
        content = {
            "both.pem": pair.key + pair.chain,  # as Kafka wants them
            "tls.crt": pair.chain,
            "ca.crt": pair.authority,
        }
        self._api.apply(objects.secret(NAMESPACE, secret, content))
        authority = {"ca.crt": pair.authority}
        vouching = f"{CLUSTER}-cluster-ca-cert"
        self._api.apply(objects.secret(NAMESPACE, vouching, authority))

    def _all_run(self) -> bool:
        found = self._api.get("StatefulSet", NAMESPACE, PODS)
        return found is not None and objects.all_ready(found)


def documents(kafka: Object, pool: Object) -> list[Object]:
    """What Strimzi would run for these two, `spec.kafka` and the pool's `spec`."""
    replicas: int = pool["replicas"]
    configuration = objects.config_map(
        NAMESPACE,
        PODS,
        {
            "server.properties": _properties(kafka["config"], replicas),
            "run.sh": operated.script("kafka-run.sh"),
            "log4j2.properties": LOGGING.read_text(),
        },
    )
    made = operated.load("kafka")
    brokers = operated.stateful_set(made)
    _settle(brokers, pool, replicas)
    operated.rolled_by(brokers, configuration)
    return [configuration, *made]


def _pool_status(found: Object) -> Object:
    """The nodes that Strimzi would have: it numbers them as an annotation says."""
    spec = found["spec"]
    ids = found["metadata"]["annotations"]["strimzi.io/next-node-ids"]
    first = int(ids.strip("[]").partition("-")[0])
    return {
        "clusterId": CLUSTER_ID,
        "nodeIds": list(range(first, first + spec["replicas"])),
        "replicas": spec["replicas"],
        "roles": spec["roles"],
    }


def _is_ready(found: Object) -> bool:
    """Strimzi does not take it back while a broker is away."""
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" for each in conditions)


def _settle(brokers: Object, pool: Object, replicas: int) -> None:
    """The pool's own wishes."""
    spec = brokers["spec"]
    spec["replicas"] = replicas
    pod, asked = spec["template"]["spec"], pool["template"]["pod"]
    pod |= asked
    (kafka,) = pod["containers"]
    kafka |= {"image": KAFKA, "resources": pool["resources"]}
    heap = pool["jvmOptions"]
    kafka["env"] += [
        {"name": "KAFKA_HEAP_OPTS", "value": f"-Xms{heap['-Xms']} -Xmx{heap['-Xmx']}"},
        {"name": "CLUSTER_ID", "value": CLUSTER_ID},
        {"name": "DATA", "value": DATA},
    ]
    (volume,) = pool["storage"]["volumes"]
    operated.claim(brokers, volume["class"], volume["size"])


def _properties(config: Mapping[str, Any], replicas: int) -> str:
    """server.properties of every broker; kafka-run.sh puts its own names in."""
    voters = [
        f"{number}@{host(f'{PODS}-{number}')}:{LISTENERS['CONTROLPLANE-9090']}"
        for number in range(1, replicas + 1)
    ]
    controllers, brokers, _ = LISTENERS
    bound = [f"{name}://0.0.0.0:{port}" for name, port in LISTENERS.items()]
    told = [f"{name}://{host('@HOST@')}:{port}" for name, port in LISTENERS.items()]
    settings: dict[str, Any] = {
        **config,
        "node.id": "@NODE@",
        "broker.rack": "@ZONE@",
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": controllers,
        "inter.broker.listener.name": brokers,
        "listeners": ",".join(bound),
        "advertised.listeners": ",".join(told),
        "listener.security.protocol.map": ",".join(f"{name}:SSL" for name in LISTENERS),
        "log.dirs": DATA,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{KEYS}/both.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": f"{KEYS}/ca.crt",
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": PRINCIPAL,
        "authorizer.class.name": (
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        ),
        "super.users": f"User:CN={ITSELF}",
    }
    return "".join(f"{key}={_said(value)}\n" for key, value in settings.items())


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
