"""Requests made of the service's own OpenAPI document: each gets an answer that the document has, and none an error."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from orchestrator import Orchestrator, tool
from orchestrator.service.access import RateLimit, Tokens
from orchestrator.service.app import Service

TOKEN = "fuzz-token-of-32-characters-00001"
EXAMPLES = int(os.environ.get("ORCHESTRATOR_FUZZ", "15"))
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@tool(gives="y")
def double(x: int) -> int:
    return 2 * x


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    orc = Orchestrator([double], store=tmp_path_factory.mktemp("fuzz") / "runs.db", monitors=())
    app = Service(orc, Tokens({TOKEN: "acme"}), RateLimit(rate=1e9, burst=1e9)).app()
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    orc.close()


def operations() -> list[str]:
    from orchestrator.service.openapi import document

    paths = document()["paths"].items()
    return [f"{method.upper()} {path}" for path, item in paths for method in item if method in ("get", "post")]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize("operation", operations())
def test_no_request_is_answered_otherwise_than_documented(schema: Any, operation: str, mode: GenerationMode) -> None:
    method, path = operation.split()
    cases = schema[path][method].as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=cases)
    def check(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

    try:
        check()
    except Unsatisfiable:
        pytest.skip("nothing about such a request can be wrong")
