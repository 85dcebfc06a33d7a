"""What the programs are told in an environment, and nowhere by default."""

from __future__ import annotations

from tests.manifests.overlays import environment, kinds


def told(name: str, setting: str) -> list[str]:
    """What the ConfigMaps of an environment say of a setting."""
    maps = kinds(environment(name), "ConfigMap")
    found = [each.get("data", {}).get(setting) for each in maps]
    return [value for value in found if value is not None]


def test_in_production_a_token_names_the_accounts_that_it_may_debit() -> None:
    assert told("production", "STORE_TOKEN_ACCOUNTS") == ["required"]


def test_no_environment_takes_payments_without_tokens() -> None:
    for name in ("dev", "test", "production"):
        assert told(name, "STORE_DEMO") == []
        assert (
            len(told(name, "STORE_JWKS")) == len(told(name, "STORE_TOKEN_ISSUER")) == 1
        )
