"""Rate limits and refused accounts as services answer them: the kind, and how long to wait."""

import email.message
import io
import urllib.error
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import openai
import pytest
import tenacity
from langchain_core.tools import ToolException

from orchestrator.core.enums import FailureKind
from orchestrator.core.failure import Failure
from orchestrator.errors import (
    RateLimited,
)
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import (
    classify,
    failure_of,
    is_rate_limit,
    retry_after_of,
)
from orchestrator.health.quota_headers import QuotaLeft, quota_of
from tests.health.failures.errors import http_error

NOW = 1_700_000_000.0
TRANSIENT, ACCOUNT, REFUSAL = FailureKind.TRANSIENT, FailureKind.ACCOUNT, FailureKind.REFUSAL
CALLER = FailureKind.CALLER_ERROR


def seen(error: BaseException) -> Failure:
    """The failure of a read that raised an error at `NOW`."""
    kind = classify(error, Tool(lambda a: a, name="t", needs=["a"], gives="b"), started=True)
    return failure_of(error, kind, "t", id="f1", at=NOW)


def answered(status: int, body: str = "", **headers: str) -> httpx.HTTPStatusError:
    """An answer as httpx raises it."""
    request = httpx.Request("POST", "https://example.test/")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx.Response(status, request=request, headers=sent, text=body)
    return httpx.HTTPStatusError(f"status {status}", request=request, response=response)


def by_openai(words: str, **headers: str) -> openai.APIStatusError:
    """The same as the client of OpenAI raises it."""
    response: Any = answered(429, "", **headers).response
    return openai.APIStatusError(words, response=response, body={})


def by_urllib(status: int, **headers: str) -> urllib.error.HTTPError:
    """The same as the standard library raises it."""
    found = email.message.Message()
    for name, value in headers.items():
        found[name.replace("_", "-")] = value
    return urllib.error.HTTPError("https://example.test/", status, "no", found, io.BytesIO())


def named(module: str, name: str, words: str = "", base: type[Any] = Exception, **attributes: Any) -> Exception:
    """An error of a library that is no dependency."""
    kind: Any = type(name, (base,), {"__module__": module})
    error: Exception = kind(words)
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


def by_aws(status: int, code: str, **headers: str) -> Exception:
    """An error of botocore."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": sent}}
    return named("botocore.exceptions", "ClientError", response=response)


def given_up(error: Exception) -> BaseException:
    """What tenacity raises after its last attempt."""

    def call() -> None:
        raise error

    with pytest.raises(tenacity.RetryError) as caught:
        tenacity.Retrying(stop=tenacity.stop_after_attempt(1))(call)
    return caught.value


SPENT = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW) + 20)}
TOKENS = {"x_ratelimit_limit_tokens": "30", "x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "6m0s"}
ANTHROPIC = {
    "anthropic_ratelimit_requests_limit": "50",
    "anthropic_ratelimit_requests_remaining": "0",
    "anthropic_ratelimit_requests_reset": "2023-11-14T22:13:40Z",
}
GEMINI = (
    '{"error": {"status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota.", "retryDelay": "34s"}}'
)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (answered(429, retry_after="Tue, 14 Nov 2023 22:13:40 GMT"), 20),
        (answered(429, **SPENT), 20),
        (answered(429, **{**SPENT, "x_ratelimit_reset": f"{int(NOW) + 20}000"}), 20),
        (answered(429, **ANTHROPIC), 20),
        (answered(429, **{**SPENT, **TOKENS}), 360),
        (answered(429, x_ratelimit_limit="60", x_ratelimit_remaining="0"), None),
        (answered(429, x_ratelimit_limit="60", x_ratelimit_remaining="7", x_ratelimit_reset="30"), None),
        (answered(403, **SPENT), 20),
        (answered(403, retry_after="7"), 7),
        (answered(429, GEMINI), 34),
        (by_urllib(429, Retry_After="20"), 20),
        (by_openai("Rate limit reached on tokens per min: Limit 30000, Used 2900. Please try again in 20s. Visit"), 20),
        (by_openai("Rate limit reached. Please try again in 250ms."), 0.25),
        (by_openai("Rate limit reached. Please try again in 1m20.5s."), 80.5),
        (by_openai("You have exceeded the call rate limit of your pricing tier. Please retry after 20 seconds."), 20),
        (by_openai("Rate limit reached. Please try again in 20s.", retry_after="5"), 5),
        (by_openai("slow down", **TOKENS), 360),
        (by_aws(400, "ThrottlingException", retry_after="3"), 3),
        (by_aws(503, "SlowDown"), None),
        (given_up(answered(429, retry_after="20")), 20),
        (ExceptionGroup("group", [answered(429, retry_after="20")]), 20),
        (ToolException("429 Too Many Requests. Retry-After: 20"), 20),
        (ToolException("Rate limit exceeded, try again in 2 minutes"), 120),
        (answered(429, retry_after="12s"), 12),
        (answered(429, retry_after="12 seconds"), 12),
        (answered(429, retry_after="2023-11-14T22:13:40+00:00"), 20),
        (answered(429, retry_after=str(int(NOW) + 20)), 20),
        (answered(429, retry_after="Tue Nov 14 22:13:40 2023"), 20),
        (answered(429, retry_after="Tuesday, 14-Nov-23 22:13:40 GMT"), 20),
        (answered(429, retry_after="-5"), None),
        (answered(429, retry_after="soon"), None),
        (answered(429, x_ms_retry_after_ms="2500"), 2.5),
        (answered(420, retry_after="3"), 3),
        (answered(429, x_ratelimit_remaining="0", x_ratelimit_reset="20"), 20),
        (answered(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW) + 20)), 20),
        (answered(429, ratelimit='"default";r=0;t=30'), 30),
        (answered(429, ratelimit_remaining="0", ratelimit_reset="31"), 31),
        (named("litellm.exceptions", "RateLimitError", status_code=429), None),
    ],
)
def test_a_rate_limit_names_its_wait(error: BaseException, seconds: float | None) -> None:
    failure = seen(error)
    assert (failure.kind, failure.rate_limited) == (TRANSIENT, True)
    assert failure.retry_after == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "error",
    [
        answered(429, '{"error": {"code": "insufficient_quota"}}'),
        answered(429, '{"error": {"code": "insufficient_quota"}}', retry_after="20"),
        answered(429, "You exceeded your current quota, please check your plan and billing details."),
        by_urllib(402),
        given_up(answered(402)),
        named("aiohttp.client_exceptions", "ClientResponseError", status=402),
        named("websockets.exceptions", "InvalidStatus", response=answered(401).response),
        named("google.auth.exceptions", "RefreshError", "invalid_grant"),
        named("google.auth.exceptions", "DefaultCredentialsError"),
        named(
            "asyncpg.exceptions",
            "InvalidPasswordError",
            base=type("PostgresError", (Exception,), {"__module__": "asyncpg"}),
            sqlstate="28P01",
        ),
        named("psycopg", "OperationalError", 'connection failed: FATAL: password authentication failed for user "a"'),
        named("redis.exceptions", "AuthenticationError"),
        by_aws(400, "ExpiredTokenException"),
        by_aws(403, "UnrecognizedClientException"),
        ToolException("Error code: 402 - pay first"),
        answered(429, '{"message": "Monthly quota exceeded"}'),
        named("litellm.exceptions", "RateLimitError", "You exceeded your current quota, please check", status_code=429),
        named("litellm.exceptions", "NotFoundError", status_code=404),
        named("litellm.exceptions", "PermissionDeniedError", status_code=403),
        named("litellm.exceptions", "BadRequestError", "Your credit balance is too low", status_code=400),
        named("openai", "APIStatusError", "Error code: 400 - API key not valid.", status_code=400),
        by_aws(400, "ServiceQuotaExceededException"),
    ],
)
def test_a_refused_account_is_no_rate_limit(error: BaseException) -> None:
    failure = seen(error)
    assert (failure.kind, failure.rate_limited) == (ACCOUNT, False)


def test_a_number_in_a_sentence_is_no_status() -> None:
    assert seen(ToolException("order 402 not found")).kind is REFUSAL


def test_a_403_that_names_no_time_is_a_no() -> None:
    assert seen(answered(403)).kind is CALLER
    assert seen(by_aws(403, "AccessDeniedException")).kind is CALLER


def test_a_body_that_was_not_read_is_not_read_now() -> None:
    class Unread(httpx.SyncByteStream):
        """Fails whoever reads it."""

        def __iter__(self) -> Any:
            raise AssertionError("read")

    request = httpx.Request("GET", "https://example.test/")
    error = httpx.HTTPStatusError("no", request=request, response=httpx.Response(429, stream=Unread(), request=request))
    assert (seen(error).kind, seen(error).rate_limited) == (TRANSIENT, True)


def test_what_is_left_is_not_taken_for_a_spent_quota_where_no_limit_is_given() -> None:
    assert quota_of({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "20"}, NOW) is None
    assert quota_of({"X-RateLimit-Remaining": "0"}, NOW) is None
    assert quota_of({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"}, NOW) == QuotaLeft(0, 1, 20)


def test_headers_of_anthropic_say_what_is_left() -> None:
    headers = {name.replace("_", "-"): value for name, value in ANTHROPIC.items()}
    assert quota_of(headers, NOW) == QuotaLeft(0, 50, 20)


def test_retry_after_in_seconds_dates_and_milliseconds() -> None:
    date = "Wed, 21 Oct 2026 07:28:30 GMT"
    assert retry_after_of(RateLimited(retry_after=2.5)) == 2.5
    assert retry_after_of(RateLimited()) is None
    assert retry_after_of(http_error(503, **{"retry-after": "7"})) == 7
    assert retry_after_of(http_error(429, **{"retry-after": date, "date": "Wed, 21 Oct 2026 07:28:00 GMT"})) == 30
    assert retry_after_of(http_error(429, **{"retry-after-ms": "250"})) == 0.25
    now = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)
    later = format_datetime(datetime(2026, 10, 21, 7, 29, tzinfo=UTC), usegmt=True)
    assert retry_after_of(http_error(429, **{"retry-after": later}), now.timestamp()) == 60
    assert retry_after_of(http_error(429, **{"retry-after": later})) is None
    earlier = format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)
    assert retry_after_of(http_error(429, **{"retry-after": earlier}), now.timestamp()) == 0


@pytest.mark.parametrize("value", ["", "soon", "-3", "inf", "nan"])
def test_a_retry_after_that_makes_no_sense_is_none(value: str) -> None:
    assert retry_after_of(http_error(429, **{"retry-after": value}), 0.0) is None


def test_rate_limits_are_told_apart() -> None:
    assert [is_rate_limit(error) for error in (RateLimited(), http_error(429), http_error(503), KeyError("429"))] == [
        True,
        True,
        False,
        False,
    ]
