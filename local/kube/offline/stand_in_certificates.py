"""The part of the stand-in that issues what cert-manager would issue."""

from __future__ import annotations

from local.kube import objects
from local.kube.api import Api, Object
from local.kube.offline.authority import Authority


class Certificates:
    """Issuers are ready; a Certificate gets its Secret, once."""

    kinds: tuple[str, ...] = ("Issuer", "Certificate")

    def __init__(self, api: Api, authority: Authority) -> None:
        self._api = api
        self._authority = authority

    def reconcile(self, found: Object) -> Object:
        """Issue what is missing; the resource's status."""
        if found["kind"] == "Certificate":
            self._issue(found["metadata"]["namespace"], found["spec"])
        condition = {**objects.ready(), "observedGeneration": _generation(found)}
        return {"conditions": [condition]}

    def _issue(self, namespace: str, spec: Object) -> None:
        name = spec["secretName"]
        names = [*spec.get("dnsNames", []), *spec.get("ipAddresses", [])]
        kept = self._api.get("Secret", namespace, name)
        if kept is not None and self._authority.vouched(kept, names):
            return
        common = spec.get("commonName") or (names[0] if names else name)
        pair = self._authority.issue(common, *names)
        content = {
            "tls.crt": pair.chain,
            "tls.key": pair.key,
            "ca.crt": pair.authority,
        }
        made = objects.secret(namespace, name, content, "kubernetes.io/tls")
        self._api.apply(made)


def _generation(found: Object) -> int:
    return int(found["metadata"]["generation"])
