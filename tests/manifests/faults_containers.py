"""A fault for each thing that the policies of containers look for."""

from __future__ import annotations

from tests.manifests import policies_containers as containers
from tests.manifests.planting import BANK, C0, POD, REMOVED, STORE, Fault

REGISTRY = "Deployment/registry"
AT = f"{BANK}: container bank: "
SMOKE = "spec.metrics.0.provider.job.spec.template.spec.containers.0."
CRON = "spec.jobTemplate.spec.template.spec."

FAULTS = [
    Fault(
        containers.images_have_a_tag_that_stays,
        BANK,
        f"{C0}image",
        "once/bank:latest",
        f"{AT}give image once/bank:latest a tag or a digest that stays",
    ),
    Fault(
        containers.images_have_a_tag_that_stays,
        REGISTRY,
        f"{C0}image",
        "host:5000/registry",
        f"{REGISTRY}: container registry: give image host:5000/registry a tag or a"
        " digest that stays",
    ),
    Fault(
        containers.our_images_have_a_digest,
        "AnalysisTemplate/store-smoke",
        f"{SMOKE}image",
        "ghcr.io/once-platform/once-store:1.2.3",
        "AnalysisTemplate/store-smoke: container smoke: name image"
        " ghcr.io/once-platform/once-store:1.2.3 by its digest",
    ),
    Fault(
        containers.containers_are_bounded,
        BANK,
        f"{C0}resources.limits.memory",
        REMOVED,
        f"{AT}set limits.memory",
    ),
    Fault(
        containers.containers_are_bounded,
        "CronJob/audit",
        f"{CRON}containers.0.resources.requests.cpu",
        REMOVED,
        "CronJob/audit: container audit: set requests.cpu",
    ),
    *(
        Fault(
            containers.long_running_containers_are_probed,
            STORE,
            f"{C0}{probe}",
            REMOVED,
            f"{STORE}: container store: add a {probe}",
        )
        for probe in containers.PROBES
    ),
    *(
        Fault(
            containers.containers_are_locked,
            BANK,
            f"{C0}securityContext.{way}",
            value,
            f"{AT}{said}",
        )
        for way, value, said in (
            ("readOnlyRootFilesystem", False, "set readOnlyRootFilesystem"),
            ("allowPrivilegeEscalation", REMOVED, "forbid allowPrivilegeEscalation"),
            ("capabilities.drop", ["NET_RAW"], "drop ALL capabilities and add none"),
            ("capabilities.add", ["NET_RAW"], "drop ALL capabilities and add none"),
            ("privileged", True, "do not run privileged"),
        )
    ),
    *(
        Fault(
            containers.users_are_numbers_and_not_root,
            "Job/migrate",
            f"{POD}{way}",
            value,
            f"Job/migrate: {said}",
        )
        for way, value, said in (
            ("securityContext.runAsNonRoot", REMOVED, "set runAsNonRoot"),
            (
                "securityContext.runAsUser",
                0,
                "set runAsUser to a number that is not 0",
            ),
            (
                "containers.0.securityContext.runAsNonRoot",
                False,
                "container migrate: do not run as root",
            ),
        )
    ),
    *(
        Fault(
            containers.seccomp_is_on,
            BANK,
            f"{way}securityContext.seccompProfile",
            {"type": "Unconfined"},
            f"{BANK}: set seccompProfile RuntimeDefault",
        )
        for way in (POD, C0)
    ),
    Fault(
        containers.secrets_are_files,
        BANK,
        f"{C0}env.2",
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        f"{AT}mount Secret s as a file",
    ),
    Fault(
        containers.secrets_are_files,
        BANK,
        f"{C0}envFrom.1",
        {"secretRef": {"name": "s"}},
        f"{AT}mount Secret s as a file",
    ),
    Fault(
        containers.scratch_space_is_bounded,
        BANK,
        f"{POD}volumes.0.emptyDir",
        {},
        f"{BANK}: volume tmp: set sizeLimit",
    ),
]
