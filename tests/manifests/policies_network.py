"""What the NetworkPolicies of an environment must add up to."""

from __future__ import annotations

from collections.abc import Iterator

from local.kube.selectors import selects
from tests.manifests.network import (
    NAMESPACE,
    Peer,
    describe,
    egress,
    ingress,
    insiders,
    matches,
    peers,
    policies_of,
    ports,
    rules,
    sides,
)
from tests.manifests.overlays import Object, kinds, named
from tests.manifests.selectors import alternatives

DIRECTIONS = ("Ingress", "Egress")


def nothing_is_open_by_default(objects: list[Object]) -> list[str]:
    """Some policy without a rule covers every pod, in both directions."""
    return [
        f"{peer.name}: no policy denies it all {direction.lower()}"
        for peer in insiders(objects)
        for direction in DIRECTIONS
        if not any(
            not rules(policy, direction)
            for policy in policies_of(objects, peer, direction)
        )
    ]


def every_policy_is_used(objects: list[Object]) -> list[str]:
    """It selects pods that there are, and so does each pod selector in its rules."""
    around = peers(objects)
    found = []
    for policy in kinds(objects, "NetworkPolicy"):
        home = policy["metadata"]["namespace"]
        own = [peer for peer in around if peer.namespace == home]
        for selector in alternatives(policy["spec"]["podSelector"]):
            if not any(selects(selector, peer.labels) for peer in own):
                found.append(f"{named(policy)}: {_said(selector)} selects no pod")
        found += _unused_sides(policy, around)
    return found


def every_way_has_two_ends(objects: list[Object]) -> list[str]:
    """What one side lets out the other lets in: half a way is an error."""
    found = []
    inside = insiders(objects)
    for port in ports(objects):
        for source in inside:
            for target in inside:
                out = egress(objects, source, target, port)
                into = ingress(objects, source, target, port)
                if out != into:
                    missing = "ingress" if out else "egress"
                    way = f"{source.name} -> {target.name}:{port}"
                    found.append(f"{way}: the {missing} is missing")
    return found


def rules_name_their_ports_and_peers(objects: list[Object]) -> list[str]:
    """A rule without ports or without the other side opens everything."""
    return [
        f"{describe(policy, direction)}: name the {missing} of each rule"
        for policy in kinds(objects, "NetworkPolicy")
        for direction in DIRECTIONS
        for rule in rules(policy, direction)
        for missing, said in (("ports", rule.get("ports")), ("peers", sides(rule)))
        if not said
    ]


def nobody_unknown_comes_in(objects: list[Object]) -> list[str]:
    """No pod of ours can be reached by strangers, nor reach a cloud's metadata."""
    around = {peer.name: peer for peer in peers(objects)}
    strangers = [around["stranger"], around["nobody"], around["internet"]]
    found = []
    for port in ports(objects):
        for peer in insiders(objects):
            found += [
                f"{stranger.name} -> {peer.name}:{port}: it must be denied"
                for stranger in strangers
                if ingress(objects, stranger, peer, port)
            ]
            if egress(objects, peer, around["metadata"], port):
                found.append(f"{peer.name} -> metadata:{port}: it must be denied")
    return found


def _unused_sides(policy: Object, around: list[Peer]) -> Iterator[str]:
    home = policy["metadata"].get("namespace", NAMESPACE)
    for direction in DIRECTIONS:
        for rule in rules(policy, direction):
            for side in sides(rule):
                for selector in alternatives(side.get("podSelector", {})):
                    meant = {**side, "podSelector": selector}
                    meets = any(matches(meant, peer, home) for peer in around)
                    if not meets and "ipBlock" not in side:
                        where = describe(policy, direction)
                        yield f"{where}: nobody is {_said(selector)}"


def _said(selector: Object) -> str:
    """A selector as one line; the last expression is the one that was narrowed."""
    labels = [f"{k}={v}" for k, v in selector.get("matchLabels", {}).items()]
    expressions = [
        f"{each['key']} {each['operator']} {','.join(each.get('values', []))}".strip()
        for each in selector.get("matchExpressions", [])
    ]
    return "{" + "; ".join([*labels, *expressions]) + "}"
