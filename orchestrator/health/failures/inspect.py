"""Extracts facts from an error of any library: its status, its texts, the errors that caused it."""

import errno
import re
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.enums import FailureKind

TRANSIENT, OUTAGE, ACCOUNT, REFUSAL, CALLER = (
    FailureKind.TRANSIENT,
    FailureKind.OUTAGE,
    FailureKind.ACCOUNT,
    FailureKind.REFUSAL,
    FailureKind.CALLER_ERROR,
)

_STATUS: Final[Mapping[int, FailureKind]] = {
    401: ACCOUNT,
    402: ACCOUNT,
    404: REFUSAL,
    407: OUTAGE,
    408: TRANSIENT,
    409: REFUSAL,
    410: REFUSAL,
    412: REFUSAL,
    421: TRANSIENT,
    423: TRANSIENT,
    424: TRANSIENT,
    425: TRANSIENT,
    429: TRANSIENT,
    451: REFUSAL,
    501: CALLER,
    505: CALLER,
    506: OUTAGE,
    507: OUTAGE,
    508: OUTAGE,
    510: CALLER,
    511: OUTAGE,
    521: OUTAGE,
    523: OUTAGE,
    525: OUTAGE,
    526: OUTAGE,
    530: OUTAGE,
    540: OUTAGE,
}
UNCERTAIN_STATUS: Final = frozenset({408, 409, 421, 423, 424, 425})
"""Answers below 500 that do not prove that a write did not happen: a conflict may be with our own earlier attempt."""


def of_status(status: int) -> FailureKind | None:
    """The kind of an HTTP status; `None` for a success."""
    if status in _STATUS:
        return _STATUS[status]
    if 400 <= status < 500:
        return CALLER
    return TRANSIENT if 500 <= status < 600 else None


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an error, in any of the forms that client libraries use."""
    response = getattr(error, "response", None)
    places: tuple[Any, ...] = (
        getattr(response, "status_code", None),
        getattr(response, "status", None),
        _aws_status(response),
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(error, "code", None),
    )
    for status in places:
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
            return status
    return None


def _aws_status(response: Any) -> Any:
    return _aws(response, "ResponseMetadata").get("HTTPStatusCode")


def _aws(response: Any, part: str) -> dict[str, Any]:
    """A part of the answer that an error of botocore carries as a dictionary."""
    found: Any = response.get(part) if isinstance(response, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def aws_code(error: BaseException) -> str:
    """The code of an error of botocore, such as `ThrottlingException`; empty for others."""
    return str(_aws(getattr(error, "response", None), "Error").get("Code", ""))


def headers_of(error: BaseException) -> dict[str, str]:
    """The headers of the answer that an error carries, by lower-case name."""
    response: Any = getattr(error, "response", None)
    headers: Any = getattr(response, "headers", None) or getattr(error, "headers", None)
    headers = headers or _aws(response, "ResponseMetadata").get("HTTPHeaders")
    try:
        return {str(name).lower(): str(value) for name, value in headers.items()}
    except Exception:  # none, or an object that only looks like headers
        return {}


def error_words(error: BaseException) -> str:
    """The text of an error, with the body of its response if the client (httpx, requests) has already read it."""
    body: Any = getattr(getattr(error, "response", None), "_content", None)
    text = body[:MOST_WORDS].decode("utf-8", "replace") if isinstance(body, bytes) else ""
    try:
        return f"{str(error)[:MOST_WORDS]}\n{text}"
    except Exception:  # an error whose text cannot be obtained
        return text


MOST_WORDS: Final = 4000
"""Maximum characters of a message, and of a body, that are examined."""

ACCOUNT_TEXT: Final = re.compile(
    r"insufficient[ _]quota|insufficient credits?|credit balance is too low|out of credits?|exceeded your current quota"
    r"|(?:api )?usage limits?|(?:spend(?:ing)?|billing|monthly) (?:hard )?limit|monthly (?:quota|(?:included )?credits)"
    r"|budget has been exceeded"
    r"|payment required|billing_(?:hard_limit|not_active)|account (?:is )?(?:deactivated|disabled|suspended)"
    r"|(?:invalid|incorrect|expired|revoked|missing)[ _](?:x-)?api[ _-]?key"
    r"|api[ _-]?key .*(?:invalid|not valid|expired|revoked)"
    r"|\b401\b.*unauthori[sz]ed|unauthori[sz]ed.*\b401\b|(?:code|status|error|http)\b[^\w\n]{0,3}402\b",
    re.IGNORECASE,
)
"""Messages of providers and HTTP servers for a refused credential or used-up credit."""

RATE_LIMIT_TEXT: Final = re.compile(r"rate.?limit|too many requests|\b429\b", re.IGNORECASE)

_TEXT: Final = (
    (ACCOUNT, ACCOUNT_TEXT.pattern),
    (TRANSIENT, RATE_LIMIT_TEXT.pattern),
    (
        OUTAGE,
        r"quota (?:was |is |has been )?exceeded|exceeded (?:your|the) .*quota|connection refused|service unavailable",
    ),
    (OUTAGE, r"unreachable|name resolution|could not resolve|getaddrinfo|no such (?:tool|host)"),
    (OUTAGE, r"certificate (?:verify|has expired)"),
    (TRANSIENT, r"time[d]?[ -]?out|temporar|connection (?:was )?(?:reset|aborted|lost|closed|error)|try again later"),
    (TRANSIENT, r"\b(?:500|502|503|504|529)\b(?= |:|$).*(?:error|gateway|unavailable|overload)|bad gateway|overloaded"),
    (CALLER, r"unauthori[sz]ed|forbidden|(?:permission|access) denied|api.?key|not allowed to|authentication"),
    (CALLER, r"invalid (?:argument|input|param|type|json|request)|validation error|unexpected keyword|unknown tool"),
    (
        CALLER,
        r"missing (?:\d+ )?required|required (?:property|field|param|argument)|is required\b|must be (?:a|an|of type) ",
    ),
)
_PATTERNS: Final = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _TEXT)


def of_text(text: str) -> FailureKind:
    """The kind of a failure that a tool reports in words (an MCP error result, a LangChain `ToolException`).

    Texts about overload, networks, permission and arguments are recognised; every other text is a refusal.
    """
    for kind, pattern in _PATTERNS:
        if pattern.search(text):
            return kind
    return REFUSAL


def parts_of(error: BaseException) -> tuple[BaseException, ...]:
    """The errors in an exception group; empty for any other."""
    group: Any = error
    return tuple(group.exceptions) if isinstance(error, BaseExceptionGroup) else ()


def links_of(error: BaseException) -> list[BaseException]:
    """The errors inside a wrapper: its cause, and those that client libraries keep in other attributes.

    Never `__context__`, which may be an earlier error that was handled.
    """
    places = (error.__cause__, getattr(error, "reason", None), getattr(error, "os_error", None))
    kept = (*places, *error.args, *parts_of(error))
    return [link for link in kept if isinstance(link, BaseException)]


def refused_connection(error: BaseException, depth: int = 0) -> bool:
    """Whether an error proves that the connection was refused, so that nothing was sent."""
    if isinstance(error, ConnectionRefusedError) or getattr(error, "errno", None) == errno.ECONNREFUSED:
        return True
    names = names_of(type(error))
    if "httpx.ConnectError" in names and "all connection attempts failed" in str(error).lower():
        return True
    if any(name in names for name in _CONNECTORS) and "connection refused" in str(error).lower():
        return True
    wrapper = names[0] in _CONNECTORS or names[0].split(".")[0] in ("requests", "urllib3", "urllib", "sqlalchemy")
    return wrapper and depth < 8 and any(refused_connection(link, depth + 1) for link in links_of(error))


_CONNECTORS: Final = (
    "httpx.ConnectError",
    "urllib3.NewConnectionError",
    "aiohttp.ClientConnectorError",
    "openai.APIConnectionError",
    "anthropic.APIConnectionError",
    "psycopg.OperationalError",
)


_SAME: Final = {"httpx2": "httpx", "httpcore": "httpx", "_duckdb": "duckdb", "simplejson": "json", "_socket": "socket"}


def names_of(kind: type[BaseException]) -> tuple[str, ...]:
    """The names by which rows are found: `package.Class` for the type and its bases, most specific first."""
    names: list[str] = []
    for base in kind.__mro__:
        package = base.__module__.split(".")[0]
        names.append(f"{_SAME.get(package, package)}.{base.__name__}")
    return tuple(names)


def from_library(error: BaseException) -> bool:
    """Whether an error may carry a status: its type is neither Python's nor the framework's, or it has the answer."""
    own = type(error).__module__.split(".")[0] in ("builtins", "asyncio", "orchestrator")
    return not own or getattr(error, "response", None) is not None
