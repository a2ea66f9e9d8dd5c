"""Deliver a message to a webhook: one POST of JSON, safe to repeat by its `Idempotency-Key`.

The receiver is what `deps` name as `webhook`: an address (which is often a secret) and headers. It must honour the
Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header): the same key twice is one message.
"""

from typing import Any

from opentelemetry.propagate import inject
from pydantic import BaseModel, SecretStr, ValidationError

from orchestrator import CallerError, RunContext, Unavailable, tool
from orchestrator.core.checks import has_words


class Webhook(BaseModel):
    """Where messages are posted to."""

    url: SecretStr
    headers: dict[str, SecretStr] = {}


class Deps(BaseModel):
    """What this tool takes from `Orchestrator(deps=...)`."""

    webhook: Webhook | None = None


def receiver_of(deps: Any) -> Webhook:
    """The receiver that was configured."""
    try:
        found = Deps.model_validate({} if deps is None else deps, from_attributes=True).webhook
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise CallerError(f"deps for the webhook are wrong: {wrong}") from None
    if found is None:
        raise Unavailable("no webhook: give Orchestrator(deps={'webhook': {'url': ...}})")
    return found


@tool(
    gives="delivery",
    effect="irreversible",
    ensure=has_words,
    idempotency_key="key",
    cost=0.003,
    latency=0.5,
    timeout=60,
)
async def post_webhook(recipient: str, subject: str, body: str, key: str, ctx: RunContext) -> str:
    """Post `{"recipient", "subject", "body"}`; gives `webhook:` and the key under which the receiver knows it."""
    try:
        import httpx
    except ImportError:
        raise Unavailable("httpx is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    webhook = receiver_of(ctx.deps)
    headers = {name: value.get_secret_value() for name, value in webhook.headers.items()}
    headers["Idempotency-Key"] = key
    inject(headers)  # `traceparent` of the attempt, where a tracer records
    message = {"recipient": recipient, "subject": subject, "body": body}
    async with httpx.AsyncClient(timeout=20) as client:
        try:
            answer = await client.post(webhook.url.get_secret_value(), json=message, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unavailable(f"the webhook cannot be reached: {type(error).__name__}") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise CallerError("deps name as webhook.url something that is no http(s) address") from None
    ctx.quota_headers(answer.headers)
    if answer.is_redirect:
        raise Unavailable("the webhook has moved: it answers with a redirect, which is not followed")
    answer.raise_for_status()
    return f"webhook:{key}"
