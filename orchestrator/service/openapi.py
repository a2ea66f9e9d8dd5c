"""The OpenAPI 3.1 document of the service; the schemas of bodies are those of the parsers of requests."""

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.core.conventions import __version__
from orchestrator.core.enums import Status

from .requests import AnswerBody, NotAnswered, ShownOutcome, ShownRuns, Submission, Submitted

_REF: Final = "#/components/schemas/{model}"
_RUN: Final = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}
_QUERY: Final = [
    {"name": "status", "in": "query", "schema": {"type": "string", "enum": [str(status) for status in Status]}},
    {"name": "label", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 0}},
    {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0}},
]
_MODELS: Final[tuple[type[BaseModel], ...]] = (Submission, AnswerBody, NotAnswered, Submitted, ShownRuns, ShownOutcome)
_ERROR: Final = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def document() -> dict[str, Any]:
    """The document."""
    _, definitions = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "orchestrator", "version": __version__},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**definitions["$defs"], "Error": _ERROR},
        },
        "security": [{"token": []}],
        "paths": _paths(),
    }


def _paths() -> dict[str, Any]:
    submit = _operation("Submit a run", 202, 400, 408, 409, 413, 422, gives="Submitted")
    listing = _operation("Runs of the tenant, newest first", 200, 422, gives="ShownRuns")
    answer = _operation("Answer a question", 202, 400, 404, 408, 409, 413, 422, gives="Submitted")
    answer["responses"]["409"] = {"description": "no such open question", "content": _content("NotAnswered")}
    cancel = _operation("Cancel a run", 202, 404, 409, gives="Submitted")
    run = {"parameters": [_RUN]}
    return {
        "/healthz": {"get": {"security": [], **_operation("Whether the process lives", 200)}},
        "/readyz": {"get": {"security": [], **_operation("Whether it takes requests", 200, 503)}},
        "/metrics": {"get": _operation("Metrics in Prometheus' text format", 200)},
        "/health": {"get": _operation("The circuit of each tool", 200)},
        "/runs": {"get": {**listing, "parameters": _QUERY}, "post": {**submit, **_body("Submission")}},
        "/runs/{run_id}": {**run, "get": _operation("The state of a run", 200, 404, gives="ShownOutcome")},
        "/runs/{run_id}/events": {**run, "get": _operation("The run's records as server-sent events", 200, 404)},
        "/runs/{run_id}/answer": {**run, "post": {**answer, **_body("AnswerBody")}},
        "/runs/{run_id}/cancel": {**run, "post": cancel},
    }


def _operation(summary: str, *statuses: int, gives: str = "") -> dict[str, Any]:
    """An operation with its responses; those below 400 have the schema `gives`."""
    good: dict[str, Any] = {"description": "done"}
    if gives:
        good["content"] = _content(gives)
    responses: dict[str, Any] = {
        str(status): good if status < 400 else {"description": "an error", "content": _content("Error")}
        for status in (*statuses, 401, 429, 503)
    }
    return {"summary": summary, "responses": responses}


def _body(schema: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": _content(schema)}}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}}


__all__ = ["document"]
