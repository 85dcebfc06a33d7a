"""The API held to its own OpenAPI document, by requests that schemathesis makes up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, SerializationContext
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from local.stack import Stack
from tests.fix_platform import a_platform
from tests.integration.api import serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

EXAMPLES = 40  # of each operation
# "debit_account and credit_account must differ" is no JSON schema.
RULES_BEYOND_A_SCHEMA = positive_data_acceptance


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: SerializationContext, value: Any) -> bytes:
    """A body of one line."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value).encode() + b"\n"


@pytest.fixture(scope="module")
def api_schema(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BaseSchema]:
    """The document of a Store at work."""
    logs = tmp_path_factory.mktemp("contract")
    with a_platform(stack, logs) as platform, platform.bank():
        limits: dict[str, Any] = {"events_seconds_max": 0.5, "wait_seconds_max": 0.2}
        with serving(platform, **limits) as (_, url):
            yield schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/transfers/{transfer_id}"),
        ("GET", "/v1/transfers/{transfer_id}"),
        ("GET", "/v1/transfers/{transfer_id}/events"),
        ("POST", "/v1/transfers"),
        ("POST", "/v1/transfers:batch"),
    ],
)
def test_every_answer_is_one_that_the_document_promises(
    api_schema: BaseSchema, method: str, path: str
) -> None:
    @given(case=api_schema[path][method].as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    def holds(case: Case[Any]) -> None:
        case.call_and_validate(timeout=30, excluded_checks=[RULES_BEYOND_A_SCHEMA])

    holds()
