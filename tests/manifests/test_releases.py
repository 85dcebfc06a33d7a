"""What is kept of Argo CD and Argo Rollouts is what their releases ship."""

from __future__ import annotations

import pytest

from local.kube import releases


@pytest.mark.parametrize("project", releases.MODULES)
def test_what_is_kept_is_what_the_release_ships(project: str) -> None:
    kept, shipped = releases.objects_of(project), list(releases.shipped(project))
    assert kept == shipped, "after a change of versions.py: python -m local kind keep"
    kinds = {each["kind"] for each in kept}
    assert {"CustomResourceDefinition", "Deployment", "ClusterRole"} <= kinds
