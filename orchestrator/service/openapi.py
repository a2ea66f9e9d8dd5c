"""The OpenAPI 3.1 document of the service; the schemas of bodies are those that requests are read by."""

from typing import Any

from orchestrator.core.conventions import __version__

from .requests import AnswerBody, Submission


def document() -> dict[str, Any]:
    """The document."""
    run = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "orchestrator", "version": __version__},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Submission": Submission.model_json_schema(),
                "Answer": AnswerBody.model_json_schema(),
                "Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
                "Run": {"type": "object", "required": ["run_id", "goal", "status"]},
            },
        },
        "security": [{"token": []}],
        "paths": {
            "/healthz": {"get": {"security": [], **_operation("Whether the process lives", 200)}},
            "/readyz": {"get": {"security": [], **_operation("Whether it takes requests", 200, 503)}},
            "/metrics": {"get": _operation("Metrics in Prometheus' text format", 200)},
            "/health": {"get": _operation("The circuit of each tool", 200)},
            "/runs": {
                "get": _operation("Runs of the tenant, newest first", 200, 422),
                "post": {**_operation("Submit a run", 202, 400, 408, 409, 413, 422), **_body("Submission")},
            },
            "/runs/{run_id}": {"parameters": [run], "get": _operation("Where a run stands", 200, 404)},
            "/runs/{run_id}/events": {
                "parameters": [run],
                "get": _operation("The run's records as server-sent events", 200, 404),
            },
            "/runs/{run_id}/answer": {
                "parameters": [run],
                "post": {**_operation("Answer a question", 202, 400, 404, 408, 409, 413, 422), **_body("Answer")},
            },
            "/runs/{run_id}/cancel": {"parameters": [run], "post": _operation("Cancel a run", 202, 404, 409)},
        },
    }


def _operation(summary: str, *statuses: int) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses: dict[str, Any] = {
        str(status): {"description": "done"} if status < 400 else {"description": "an error", "content": error}
        for status in (*statuses, 401, 429, 503)
    }
    return {"summary": summary, "responses": responses}


def _body(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}}


__all__ = ["document"]
