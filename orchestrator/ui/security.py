"""Access to the viewer: a token in the printed address, a cookie, Host and Origin checks, signed forms.

A page on the internet can make a browser send requests to loopback. So `Host` must be an expected name (against DNS
rebinding), `Origin` must be the viewer itself, the cookie is `SameSite=Strict`, and a form contains a value that no
other page can read.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
MOST_BYTES: Final = 1_000_000
"""Size limit of a form."""
MOST_FIELDS: Final = 100
FORM_SECONDS: Final = 10.0
"""Time limit for receiving a form."""
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
"""A `Host` header without user information: a name or a bracketed IPv6 address, and a port."""

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Keys:
    """Keys derived from the token, which do not reveal it."""

    token: str

    def __post_init__(self) -> None:
        if not self.token:
            raise ValueError("The viewer needs a token that is not empty.")

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers share cookies among the ports of a host, and two viewers may be open."""
        return f"orchestrator_{self._sign('name')[:12]}"

    @property
    def session(self) -> str:
        """The cookie's value."""
        return self._sign("session")

    @property
    def form(self) -> str:
        """The value that every form contains."""
        return self._sign("form")

    def _sign(self, what: str) -> str:
        return hmac.new(self.token.encode(), what.encode(), hashlib.sha256).hexdigest()


class Guard:
    """Admits requests with the cookie, exchanges the token for it, and rejects all others with 403."""

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Sequence[str] = LOOPBACK, *, any_address: bool = False) -> None:
        self._app = app
        self._keys = keys
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        answer = self._answer(request)
        await (self._app if answer is None else answer)(scope, receive, _with_headers(send))

    def _answer(self, request: Request) -> Response | None:
        """The response of a rejected request; `None` if the request is admitted."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._ours(hosts[0]):
            return _refused("this address is not one that the viewer answers to")
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{hosts[0]}".lower(), f"https://{hosts[0]}".lower()):
            return _refused("the request comes from another page")
        if request.method != "GET" and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _refused("the request comes from another page")
        if "token" in request.query_params:
            return self._exchange(request)
        if not same_secret(request.cookies.get(self._keys.cookie, ""), self._keys.session):
            return _refused("open the address that `orchestrator ui` printed, with its token")
        return None

    def _ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower().strip("[]")
        return name in self._hosts or (self._any_address and _is_address(name))

    def _exchange(self, request: Request) -> Response:
        """The cookie for the token, and the same address without it."""
        if request.method != "GET" or not same_secret(request.query_params["token"], self._keys.token):
            return _refused("the token is not that of this viewer")
        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        path = request.url.path.replace("\\", "/")
        path = "/" + path.lstrip("/")  # `//elsewhere` would be another host
        response = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
        response.set_cookie(self._keys.cookie, self._keys.session, httponly=True, samesite="strict", path="/")
        return response


def same_secret(given: str, wanted: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how nearly."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


async def read_form(request: Request, keys: Keys) -> dict[str, str]:
    """The fields of a form that one of our own pages sent. Raises `HTTPException` 403, 408, 413 or 415."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415, "A form is sent as application/x-www-form-urlencoded.")
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise HTTPException(413, "The form is larger than the viewer accepts.")
    except TimeoutError:
        raise HTTPException(408, "The form was not received in time.") from None
    try:
        fields = parse_qs(bytes(body).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise HTTPException(413, f"A form has at most {MOST_FIELDS} fields.") from None
    form = {name: values[-1] for name, values in fields.items()}
    if not same_secret(form.pop("csrf", ""), keys.form):
        raise HTTPException(403, "The form is not one of this viewer's. Reload the page and send it again.")
    return form


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refused(why: str) -> Response:
    return PlainTextResponse(f"403: {why}.\n", status_code=403)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
