"""A fault for each thing that the policies of Argo CD look for."""

from __future__ import annotations

from tests.manifests import policies_argocd as argocd
from tests.manifests.planting import REMOVED, Fault

FAULTS = [
    *(
        Fault(
            argocd.stateful_objects_ask_first,
            target,
            "metadata.annotations",
            {argocd.OPTIONS: f"{argocd.SKIP},{given}"},
            f"{target}: add {missing} to its sync options",
        )
        for target, given, missing in (
            ("Kafka/once", *argocd.CONFIRM),
            ("PostgresCluster/ledger", *argocd.CONFIRM[::-1]),
        )
    ),
    Fault(
        argocd.stateful_objects_ask_first,
        "PersistentVolumeClaim/seaweedfs",
        "metadata.annotations",
        {},
        tuple(
            f"PersistentVolumeClaim/seaweedfs: add {option} to its sync options"
            for option in argocd.CONFIRM
        ),
        where="kind",
    ),
    Fault(
        argocd.the_default_project_allows_nothing,
        "AppProject/default",
        "",
        REMOVED,
        "AppProject/default: write one that allows nothing",
    ),
    Fault(
        argocd.the_default_project_allows_nothing,
        "AppProject/default",
        "spec.destinations",
        [{"server": "https://kubernetes.default.svc", "namespace": "once"}],
        "AppProject/default: empty destinations",
    ),
    Fault(
        argocd.every_kind_has_a_bringer,
        "Application/monitoring-kinds",
        "",
        REMOVED,
        tuple(
            f"Application/{app}: monitoring-kinds brings monitoring.coreos.com, and is"
            " not there"
            for app in ("bank", "edge", "kafka", "postgres", "registry", "store")
        ),
        where="kind",
    ),
    Fault(
        argocd.every_kind_has_a_bringer,
        "Application/keda",
        "metadata.annotations",
        {"argocd.argoproj.io/sync-wave": "4"},
        "Application/bank: keda brings keda.sh, and comes no earlier",
    ),
    Fault(
        argocd.custom_objects_wait_for_their_kind,
        "Rollout/store",
        "metadata.annotations",
        REMOVED,
        f"Rollout/store: add {argocd.SKIP} to its sync options",
    ),
    *(
        Fault(
            argocd.applications_have_a_project_of_ours,
            "Application/bank",
            "spec.project",
            project,
            f"Application/bank: project {project} is none of ours",
        )
        for project in ("default", "twice")
    ),
    *(
        Fault(
            argocd.projects_allow_nothing_by_a_star,
            "AppProject/once",
            f"spec.{way}",
            value,
            f"AppProject/once: write {way} out instead of *",
        )
        for way, value in (
            ("sourceRepos", ["*"]),
            ("destinations", [{"server": "*", "namespace": "once"}]),
            ("clusterResourceWhitelist", [{"group": "*", "kind": "Namespace"}]),
            ("namespaceResourceWhitelist", [{"group": "apps", "kind": "*"}]),
        )
    ),
    Fault(
        argocd.applications_come_from_known_sources,
        "Application/keda",
        "spec.source.repoURL",
        "https://charts.example",
        "Application/keda: AppProject/platform does not list https://charts.example",
    ),
    Fault(
        argocd.applications_come_from_known_sources,
        "Application/store",
        "spec.destination.namespace",
        "kube-system",
        "Application/store: AppProject/once does not list its target",
    ),
    Fault(
        argocd.projects_list_what_their_paths_hold,
        "AppProject/once",
        "spec.clusterResourceWhitelist",
        [],
        tuple(
            f"Application/{app}: {kind} is not in its project's"
            " clusterResourceWhitelist"
            for app, kind in (
                ("edge", "ClusterIssuer"),
                ("edge", "GatewayClass"),
                ("namespace", "Namespace"),
                ("namespace", "PriorityClass"),
                ("namespace", "StorageClass"),
            )
        ),
    ),
    Fault(
        argocd.projects_list_what_their_paths_hold,
        "Application/argocd-secrets",
        "spec.project",
        "platform",
        tuple(
            f"Application/argocd-secrets: {each}"
            for each in (
                "ExternalSecret is not in its project's namespaceResourceWhitelist",
                "ExternalSecret/argocd-notifications goes to argocd, which its project"
                " does not list",
                "ExternalSecret/argocd-oidc goes to argocd, which its project does not"
                " list",
                "SecretStore is not in its project's namespaceResourceWhitelist",
                "SecretStore/argocd goes to argocd, which its project does not list",
                "ServiceAccount/secrets-reader goes to argocd, which its project does"
                " not list",
            )
        ),
    ),
    Fault(
        argocd.every_path_of_ours_exists,
        "Application/bank",
        "spec.source.path",
        "consumers/bank/k8s/overlays/prod",
        "Application/bank: there is no overlay consumers/bank/k8s/overlays/prod",
    ),
]
