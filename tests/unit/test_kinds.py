"""The operators' kinds: what is kept of a release, and what is taken out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.kube import kinds
from local.kube.kinds import definitions, replace, without_words

SERVED = """
cert-manager.io: Certificate/v1 ClusterIssuer/v1 Issuer/v1
external-secrets.io: ClusterSecretStore/v1/v1beta1 ExternalSecret/v1/v1beta1
    SecretStore/v1/v1beta1
gateway.envoyproxy.io: BackendTrafficPolicy/v1alpha1 ClientTrafficPolicy/v1alpha1
 EnvoyProxy/v1alpha1
gateway.networking.k8s.io: BackendTLSPolicy/v1/v1alpha3 GatewayClass/v1/v1beta1
    Gateway/v1/v1beta1 HTTPRoute/v1/v1beta1
kafka.strimzi.io: KafkaNodePool/v1 KafkaRebalance/v1 Kafka/v1 KafkaTopic/v1 KafkaUser/v1
keda.sh: ScaledObject/v1alpha1 TriggerAuthentication/v1alpha1
monitoring.coreos.com: PodMonitor/v1 PrometheusRule/v1 ServiceMonitor/v1
postgres-operator.crunchydata.com: PostgresCluster/v1/v1beta1
"""


def definition(name: str, schema: Any) -> dict[str, Any]:
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {"versions": versions},
    }


def schema_of(definition: dict[str, Any]) -> Any:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_every_kind_that_we_use_is_there_with_its_versions() -> None:
    served: dict[str, str] = {}
    for each in sorted(definitions(), key=lambda each: str(each["metadata"]["name"])):
        spec = each["spec"]
        versions = [version["name"] for version in spec["versions"]]
        said = "/".join((spec["names"]["kind"], *versions))
        served[spec["group"]] = f"{served.get(spec['group'], '')} {said}"
    lines = [f"{group}:{said}" for group, said in sorted(served.items())]
    assert " ".join(lines).split() == SERVED.split()


def test_words_go_and_what_is_judged_by_stays() -> None:
    text = {"type": "string", "description": "said to people"}
    bare = {"type": "string"}
    schema = {
        "description": "said to people",
        "properties": {
            "description": text,
            "many": {"items": text, "default": [{"description": "a value"}]},
            "map": {"additionalProperties": text, "maxProperties": 3},
            "either": {"anyOf": [text, {"not": text}]},
            "any": {"additionalProperties": True},
        },
        "required": ["description"],
    }
    assert schema_of(without_words(definition("a", schema))) == {
        "properties": {
            "description": bare,
            "many": {"items": bare, "default": [{"description": "a value"}]},
            "map": {"additionalProperties": bare, "maxProperties": 3},
            "either": {"anyOf": [bare, {"not": bare}]},
            "any": {"additionalProperties": True},
        },
        "required": ["description"],
    }


def test_a_newer_release_has_the_kinds_of_the_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "FOLDER", tmp_path)
    shipped = tmp_path / "shipped.yaml"
    both = [definition(name, {"type": "object"}) for name in ("b.example", "a.example")]
    shipped.write_text(json.dumps(both[1]))
    first = replace("some-operator-1.9.0", [shipped]).read_bytes()
    assert replace("some-operator-1.9.0", [shipped]).read_bytes() == first
    replace("some-operator-other-1.0", [shipped])

    shipped.write_text("---\n".join(f"{json.dumps(each)}\n" for each in both))
    assert replace("some-operator-1.10.0", [shipped]).read_bytes() == first
    left = sorted(path.name for path in tmp_path.glob("*.gz"))
    assert left == ["some-operator-1.10.0.json.gz", "some-operator-other-1.0.json.gz"]
    assert definitions() == [both[1], both[1]]
