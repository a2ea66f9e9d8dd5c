"""The classes of foreign exceptions: rows by type name, so that no library is imported to recognise its errors.

A row's name is the top package and the class, such as `httpx.TimeoutException`; the most specific class of an error
that has a row decides. A row is a kind, or a function that looks at the error and may pass (`None`).
"""

import errno
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.core.enums import FailureKind

from .inspect import ACCOUNT_TEXT, aws_code, error_words, links_of, of_status, of_text, status_of
from .retry_after import is_rate_limit, retry_after_of

TRANSIENT, OUTAGE, ACCOUNT, INVALID, REFUSAL, CALLER, BUG = (
    FailureKind.TRANSIENT,
    FailureKind.OUTAGE,
    FailureKind.ACCOUNT,
    FailureKind.INVALID_OUTPUT,
    FailureKind.REFUSAL,
    FailureKind.CALLER_ERROR,
    FailureKind.BUG,
)

Classification = FailureKind | BaseException | None
"""A kind, another exception that says it better (the cause that a wrapper carries), or `None` to pass."""
Classifier = FailureKind | Callable[[Any], Classification]


def _by_status(error: Any) -> Classification:
    """By the status of a response; for 429 also by the text, because a used-up quota is not waited for."""
    status = status_of(error)
    if is_rate_limit(error):
        return ACCOUNT if _quota_spent(error) else TRANSIENT
    return of_status(status) if status is not None else None


def _quota_spent(error: Any) -> bool:
    words = error_words(error)
    return "insufficient_quota" in words or (bool(ACCOUNT_TEXT.search(words)) and not retry_after_of(error, 0.0))


_AWS_ACCOUNT: Final = re.compile(
    "expiredtoken|unrecognizedclient|invalidclienttokenid|invalidaccesskeyid|authfailure|optinrequired|accountproblem|servicequotaexceeded",
    re.IGNORECASE,
)


def _aws(error: Any) -> Classification:
    """By the error code first: AWS uses status 400 or 403 for credentials and rate limits, as for bad arguments."""
    return ACCOUNT if _AWS_ACCOUNT.match(aws_code(error)) else _by_status(error)


def _google_auth(error: Any) -> Classification:
    return TRANSIENT if getattr(error, "retryable", False) else ACCOUNT


def _connecting(error: Any) -> Classification:
    """By the operating system's error in its cause: a name that does not resolve, a certificate, a refusal."""
    for link in links_of(error):
        if isinstance(link, OSError) and type(link) is not OSError:
            return link
        verdict = _connecting(link)
        if isinstance(verdict, BaseException):
            return verdict
    return TRANSIENT


def _os_error(error: OSError) -> Classification:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENODEV, errno.ENXIO):
        return OUTAGE
    return CALLER if error.errno in (errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP) else TRANSIENT


def _file_not_found(error: FileNotFoundError) -> Classification:
    """A missing file is a refusal; a missing program means that the tool cannot be used."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    program = last is not None and last.tb_frame.f_code.co_name in ("_execute_child", "_posix_spawn")
    return OUTAGE if program else REFUSAL


def _name_resolution(error: Any) -> Classification:
    return TRANSIENT if error.errno == socket.EAI_AGAIN else OUTAGE


def _exit_status(error: Any) -> Classification:
    """Statuses of sysexits.h, and of shells that find no command."""
    code = error.returncode
    if code in (126, 127, 69):
        return OUTAGE
    if code in (64, 65, 66, 77, 78):
        return CALLER
    return TRANSIENT if code < 0 or code in (75, 137, 143) else BUG


def _sqlite(error: Any) -> Classification:
    text = str(error).lower()
    if "locked" in text or "busy" in text:
        return TRANSIENT
    if any(word in text for word in ("unable to open", "disk", "readonly", "malformed", "not a database")):
        return OUTAGE
    return CALLER


def _sqlstate(error: Any) -> Classification:
    """By the class of the SQLSTATE (PostgreSQL documentation, appendix A)."""
    state = str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")
    if not state and "authentication failed" in str(error):
        return ACCOUNT
    if state in ("57014", "55P03"):
        return TRANSIENT
    kinds = {"08": TRANSIENT, "40": TRANSIENT, "53": TRANSIENT, "57": TRANSIENT, "58": OUTAGE, "23": REFUSAL}
    kinds |= {"P0": REFUSAL, "22": CALLER, "42": CALLER, "28": ACCOUNT, "3D": CALLER, "25": CALLER, "0A": CALLER}
    return kinds.get(state[:2])


def _original(error: Any) -> Classification:
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else None


def _reason(error: Any) -> Classification:
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, BaseException) else TRANSIENT


def _last_attempt(error: Any) -> Classification:
    attempt = getattr(error, "last_attempt", None)
    return attempt.exception() if attempt is not None and attempt.failed else TRANSIENT


def _json_rpc(error: Any) -> Classification:
    """Codes of JSON-RPC 2.0 and of the Model Context Protocol."""
    detail = getattr(error, "error", error)
    code = getattr(detail, "code", None)
    kinds = {-32700: CALLER, -32600: CALLER, -32601: CALLER, -32602: CALLER, -32002: REFUSAL, -32603: BUG}
    kinds |= {-32000: TRANSIENT, -32001: TRANSIENT, 408: TRANSIENT}
    return kinds.get(code) or of_text(str(error)) if isinstance(code, int) else of_text(str(error))


def _smtp(error: Any) -> Classification:
    code = getattr(error, "smtp_code", 0)
    return TRANSIENT if 400 <= code < 500 else REFUSAL


def _grpc(error: Any) -> Classification:
    code = error.code() if callable(getattr(error, "code", None)) else None
    name = getattr(code, "name", "")
    if name in ("NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
        return REFUSAL
    if name == "UNAUTHENTICATED":
        return ACCOUNT
    if name in ("INVALID_ARGUMENT", "PERMISSION_DENIED", "UNIMPLEMENTED"):
        return CALLER
    return BUG if name in ("INTERNAL", "UNKNOWN", "DATA_LOSS") else TRANSIENT


def _model_client(error: Any) -> Classification:
    """Errors of model clients: refused credentials, retired models, used-up quotas and usage limits are of the account.

    Usage limits are reported with 400 like bad arguments, but other arguments do not help: the text decides.
    """
    status = status_of(error)
    if status in (401, 402, 403, 404) or getattr(error, "code", None) in ("insufficient_quota", "invalid_api_key"):
        return ACCOUNT
    if status == 400 and ACCOUNT_TEXT.search(error_words(error)):
        return ACCOUNT
    return _by_status(error)


def _in_words(error: Any) -> Classification:
    return of_text(str(error))


_BUILTIN: Final[Mapping[str, Classifier]] = {
    "builtins.TimeoutError": TRANSIENT,
    "builtins.ConnectionError": TRANSIENT,
    "builtins.OSError": _os_error,
    "builtins.FileNotFoundError": _file_not_found,
    "builtins.PermissionError": CALLER,
    "builtins.FileExistsError": CALLER,
    "builtins.IsADirectoryError": CALLER,
    "builtins.NotADirectoryError": CALLER,
    "builtins.ImportError": OUTAGE,
    "builtins.UnicodeError": INVALID,
    "asyncio.CancelledError": TRANSIENT,
    "asyncio.IncompleteReadError": TRANSIENT,
    "concurrent.CancelledError": TRANSIENT,
    "concurrent.BrokenExecutor": OUTAGE,
    "socket.gaierror": _name_resolution,
    "ssl.SSLError": TRANSIENT,
    "ssl.SSLCertVerificationError": OUTAGE,
    "json.JSONDecodeError": INVALID,
    "xml.ParseError": INVALID,
    "subprocess.TimeoutExpired": TRANSIENT,
    "subprocess.CalledProcessError": _exit_status,
    "http.HTTPException": TRANSIENT,
    "http.InvalidURL": CALLER,
    "urllib.HTTPError": _by_status,
    "urllib.URLError": _reason,
    "smtplib.SMTPException": TRANSIENT,
    "smtplib.SMTPResponseException": _smtp,
    "smtplib.SMTPRecipientsRefused": REFUSAL,
    "smtplib.SMTPAuthenticationError": ACCOUNT,
    "smtplib.SMTPNotSupportedError": CALLER,
}
_NETWORK: Final[Mapping[str, Classifier]] = {
    "httpx.HTTPStatusError": _by_status,
    "httpx.TransportError": TRANSIENT,
    "httpx.ConnectError": _connecting,
    "httpx.StreamError": BUG,
    "httpx.LocalProtocolError": CALLER,
    "httpx.UnsupportedProtocol": CALLER,
    "httpx.InvalidURL": CALLER,
    "httpx.DecodingError": INVALID,
    "httpx.TooManyRedirects": OUTAGE,
    "requests.RequestException": TRANSIENT,
    "requests.ConnectionError": _connecting,
    "requests.HTTPError": _by_status,
    "requests.InvalidURL": CALLER,
    "requests.MissingSchema": CALLER,
    "requests.InvalidSchema": CALLER,
    "requests.JSONDecodeError": INVALID,
    "requests.ContentDecodingError": INVALID,
    "requests.TooManyRedirects": OUTAGE,
    "urllib3.HTTPError": TRANSIENT,
    "urllib3.LocationValueError": CALLER,
    "aiohttp.ClientError": TRANSIENT,
    "aiohttp.ClientConnectorError": _connecting,
    "aiohttp.ClientResponseError": _by_status,
    "aiohttp.InvalidURL": CALLER,
    "websockets.WebSocketException": TRANSIENT,
    "websockets.InvalidStatus": _by_status,
    "websockets.InvalidStatusCode": _by_status,
    "anyio.BrokenResourceError": TRANSIENT,
    "anyio.ClosedResourceError": TRANSIENT,
    "anyio.EndOfStream": TRANSIENT,
    "grpc.RpcError": _grpc,
    "botocore.ClientError": _aws,
    "botocore.BotoCoreError": TRANSIENT,
    "botocore.NoCredentialsError": ACCOUNT,
    "google.RefreshError": _google_auth,
    "google.DefaultCredentialsError": ACCOUNT,
    "google.TransportError": TRANSIENT,
    "tenacity.RetryError": _last_attempt,
}
_MODELS: Final[Mapping[str, Classifier]] = {
    "openai.APIError": TRANSIENT,
    "openai.APIStatusError": _model_client,
    "openai.APIResponseValidationError": INVALID,
    "openai.LengthFinishReasonError": INVALID,
    "openai.ContentFilterFinishReasonError": REFUSAL,
    "openai.OpenAIError": CALLER,
    "anthropic.APIError": TRANSIENT,
    "anthropic.APIStatusError": _model_client,
    "anthropic.APIResponseValidationError": INVALID,
    "anthropic.AnthropicError": CALLER,
    "groq.APIStatusError": _model_client,
    "cohere.ApiError": _model_client,
    "google.APIError": _model_client,
    "litellm.BudgetExceededError": ACCOUNT,
    "litellm.NotFoundError": _model_client,
    "litellm.PermissionDeniedError": _model_client,
    "litellm.RateLimitError": _model_client,
    "litellm.BadRequestError": _model_client,
    "litellm.APIError": _model_client,
    "mistralai.SDKError": _model_client,
    "ollama.ResponseError": _model_client,
    "together.APIStatusError": _model_client,
    "langchain_core.ToolException": _in_words,
    "langchain_core.OutputParserException": INVALID,
    "langchain_core.ContextOverflowError": CALLER,
    "langgraph.ToolInvocationError": CALLER,
    "langgraph.GraphRecursionError": BUG,
    "mcp.MCPError": _json_rpc,
    "mcp.McpError": _json_rpc,
    "mcp.ToolError": _in_words,
    "mcp_types.MCPError": _json_rpc,
    "pydantic_core.ValidationError": INVALID,
    "jsonschema.ValidationError": INVALID,
}
_DATABASES: Final[Mapping[str, Classifier]] = {
    "sqlite3.OperationalError": _sqlite,
    "sqlite3.IntegrityError": REFUSAL,
    "sqlite3.DatabaseError": _sqlite,
    "sqlite3.InterfaceError": CALLER,
    "psycopg.Error": _sqlstate,
    "psycopg.OperationalError": lambda error: _sqlstate(error) or TRANSIENT,
    "psycopg.IntegrityError": REFUSAL,
    "psycopg.ProgrammingError": lambda error: _sqlstate(error) or CALLER,
    "psycopg.DataError": CALLER,
    "psycopg.NotSupportedError": CALLER,
    "psycopg_pool.PoolTimeout": TRANSIENT,
    "psycopg2.Error": _sqlstate,
    "psycopg2.OperationalError": lambda error: _sqlstate(error) or TRANSIENT,
    "psycopg2.IntegrityError": REFUSAL,
    "psycopg2.ProgrammingError": CALLER,
    "psycopg2.DataError": CALLER,
    "asyncpg.PostgresError": _sqlstate,
    "redis.AuthenticationError": ACCOUNT,
    "redis.ConnectionError": TRANSIENT,
    "redis.TimeoutError": TRANSIENT,
    "redis.ResponseError": CALLER,
    "sqlalchemy.DBAPIError": _original,
    "sqlalchemy.TimeoutError": TRANSIENT,
    "sqlalchemy.NoResultFound": REFUSAL,
    "sqlalchemy.ArgumentError": CALLER,
    "duckdb.Error": BUG,
    "duckdb.IOException": TRANSIENT,
    "duckdb.HTTPException": TRANSIENT,
    "duckdb.TransactionException": TRANSIENT,
    "duckdb.ConstraintException": REFUSAL,
    "duckdb.ProgrammingError": CALLER,
    "duckdb.DataError": CALLER,
    "duckdb.OutOfMemoryException": OUTAGE,
}
ROWS: Final[Mapping[str, Classifier]] = {**_BUILTIN, **_NETWORK, **_MODELS, **_DATABASES}
"""Top package and class -> its rule."""

__all__ = ["ROWS", "Classification", "Classifier", "status_of"]
