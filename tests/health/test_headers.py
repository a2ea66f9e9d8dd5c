"""Quota headers as servers send them."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.health.quota_headers import QuotaLeft, quota_of

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "12", "X-RateLimit-Reset": "30"}, (12, 60, 30)),
        (
            {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4999", "x-ratelimit-reset": str(int(NOW) + 90)},
            (4999, 5000, 90),
        ),
        ({"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "7"}, (50, 100, 7)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, (50, 100, 5)),
        ({"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'}, (50, 100, 30)),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "1000",
                "x-ratelimit-remaining-tokens": "100",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            (100, 1000, 360),
        ),
        ({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "3"}, (3, 10, 60)),
        ({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "250ms"}, (3, 10, 0.25)),
    ],
)
def test_what_servers_send(headers: dict[str, str], expected: tuple[float, float, float]) -> None:
    assert quota_of(headers, NOW) == QuotaLeft(*expected)
    assert quota_of(httpx.Headers(headers), NOW) == QuotaLeft(*expected)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-limit": "10"},
        {"x-ratelimit-remaining": "10"},
        {"x-ratelimit-limit": "0", "x-ratelimit-remaining": "0"},
        {"x-ratelimit-limit": "many", "x-ratelimit-remaining": "some"},
        {"RateLimit": "nonsense"},
    ],
)
def test_headers_that_tell_of_none(headers: dict[str, str]) -> None:
    assert quota_of(headers, NOW) is None


names = st.sampled_from(
    ["RateLimit", "RateLimit-Policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
)
values = st.one_of(
    st.sampled_from(["", "nan", "1e999", "-3", "6m0s", "q=0", '"d";r=1;t=2', "limit=5, remaining=1"]),
    st.integers(-5, 10**11).map(str),
)


@given(st.dictionaries(names, values))
def test_any_header_is_read_or_left(headers: dict[str, str]) -> None:
    quota = quota_of(headers, NOW)
    assert quota is None or (quota.remaining >= 0 and quota.limit > 0 and quota.reset_seconds >= 0)
