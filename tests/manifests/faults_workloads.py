"""A fault for each thing that the policies of workloads look for."""

from __future__ import annotations

from tests.manifests import policies_workloads as workloads
from tests.manifests.planting import BANK, C0, POD, REMOVED, STORE, Fault

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
BINDING = {"apiVersion": "v1", "kind": "RoleBinding", "metadata": {"name": "s"}}
FAULTS = [
    Fault(
        workloads.no_secret_is_in_git,
        "",
        "",
        SECRET,
        "Secret/s: take it out of git",
    ),
    Fault(
        workloads.nobody_is_given_rights,
        "",
        "",
        BINDING,
        "RoleBinding/s: nothing of ours needs it",
    ),
    Fault(
        workloads.pods_have_no_token,
        "Job/register",
        f"{POD}automountServiceAccountToken",
        REMOVED,
        "Job/register: set automountServiceAccountToken to false",
    ),
    Fault(
        workloads.pods_have_no_token,
        "ServiceAccount/store",
        "automountServiceAccountToken",
        True,
        "ServiceAccount/store: set automountServiceAccountToken to false",
    ),
    Fault(
        workloads.accounts_exist,
        "ServiceAccount/audit",
        "metadata.name",
        "auditor",
        (
            "CronJob/audit: add ServiceAccount audit",
            "AnalysisTemplate/audit: add ServiceAccount audit",
        ),
    ),
    Fault(
        workloads.accounts_exist,
        BANK,
        f"{POD}serviceAccountName",
        REMOVED,
        f"{BANK}: add ServiceAccount None",
    ),
    Fault(
        workloads.priorities_exist,
        STORE,
        f"{POD}priorityClassName",
        "first",
        f"{STORE}: add PriorityClass first",
    ),
    Fault(
        workloads.pods_leave_a_lost_node_soon,
        BANK,
        f"{POD}tolerations.1.tolerationSeconds",
        REMOVED,
        f"{BANK}: tolerate node.kubernetes.io/unreachable for at most 60 s",
    ),
    Fault(
        workloads.replicas_have_a_budget,
        "PodDisruptionBudget/bank",
        "",
        REMOVED,
        f"{BANK}: one PodDisruptionBudget must cover it, not none",
    ),
    Fault(
        workloads.replicas_have_a_budget,
        "PodDisruptionBudget/store",
        "spec.selector.matchLabels",
        {"app.kubernetes.io/name": "shop"},
        f"{STORE}: one PodDisruptionBudget must cover it, not none",
    ),
    Fault(
        workloads.budgets_cover_somebody,
        "PodDisruptionBudget/store",
        "spec.selector.matchLabels",
        {"app.kubernetes.io/name": "shop"},
        "PodDisruptionBudget/store: its selector picks no pod",
    ),
    Fault(
        workloads.replicas_are_spread,
        STORE,
        f"{POD}topologySpreadConstraints.0",
        REMOVED,
        f"{STORE}: spread it over topology.kubernetes.io/zone",
    ),
    Fault(
        workloads.replicas_are_spread,
        BANK,
        f"{POD}topologySpreadConstraints.1.labelSelector",
        {"matchLabels": {"app.kubernetes.io/name": "shop"}},
        f"{BANK}: spread it over kubernetes.io/hostname",
    ),
    Fault(
        workloads.owners_select_their_pods,
        STORE,
        "spec.selector.matchLabels",
        {"app.kubernetes.io/name": "shop"},
        f"{STORE}: its selector does not pick its own pods",
    ),
    Fault(
        workloads.container_ports_are_known,
        STORE,
        f"{C0}ports.2",
        {"name": "http", "containerPort": 8080},
        f"{STORE}: port http is not TLS; name it https, health or metrics",
    ),
    Fault(
        workloads.services_lead_to_tls,
        "Service/registry",
        "spec.ports.0.targetPort",
        "health",
        "Service/registry: port 8443 leads to a port without TLS",
    ),
    Fault(
        workloads.services_lead_to_tls,
        "Service/store",
        "spec.ports.1",
        {"name": "plain", "port": 80, "targetPort": 9000},
        "Service/store: port 80 leads to a port without TLS",
    ),
    Fault(
        workloads.services_lead_to_tls,
        "Service/registry",
        "spec.selector",
        {"app.kubernetes.io/name": "shop"},
        "Service/registry: it leads to no pod",
    ),
]
