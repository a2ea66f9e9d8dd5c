"""`TimedProtocol`: an HTTP connection that is closed when a request or its response takes too long.

uvicorn limits only the pause between two requests; a client that sends one byte a minute, or never reads, would hold
its connection for good (slowloris).
"""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 10.0
"""From the first moment of a connection, or of a further request on it, to the request's last byte."""
RESPONSE_SECONDS: Final = 60.0
"""From there to the response's last byte."""


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a time limit for each request and each response."""

    request_seconds = REQUEST_SECONDS
    response_seconds = RESPONSE_SECONDS
    _timer: asyncio.TimerHandle | None = None
    _receiving = False

    def connection_made(self, transport: Any) -> None:
        """Start the limit of the first request."""
        super().connection_made(transport)
        self._limit(self.request_seconds)
        self._receiving = True

    def data_received(self, data: bytes) -> None:
        """Keep the limit while a request is incomplete; start that of the response when it is complete."""
        super().data_received(data)
        complete = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        answered = self.cycle is not None and self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        if complete and not answered:
            self._receiving = False
            self._limit(self.response_seconds)
        elif not complete and not self._receiving:
            self._receiving = True
            self._limit(self.request_seconds)

    def on_response_complete(self) -> None:
        """End the limit; the pause until the next request is uvicorn's to limit."""
        self._receiving = False
        self._cancel()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the limit."""
        self._cancel()
        super().connection_lost(exc)

    def _limit(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
