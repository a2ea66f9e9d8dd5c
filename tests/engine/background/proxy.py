"""A TCP proxy in front of a database whose connections can be reset, cut, or black-holed."""

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path

_CHUNK = 64 * 1024


class Proxy:
    """Forwards a port of the loopback interface to the socket of a PostgreSQL server, until a fault is wanted.

    A black hole takes what is sent and passes nothing on, in both directions; new connections get no answer either.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` holds the server's Unix socket."""
        self._target = str(folder / ".s.PGSQL.5432")
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._silent: set[socket.socket] = set()
        self._hole_until = 0.0
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def url(self) -> str:
        """The store's URL through this proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def reset(self) -> None:
        """Send a TCP reset on every connection."""
        for each in self._taken():
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _close(each)

    def cut(self) -> None:
        """Close every connection in the ordinary way, in the midst of whatever it carries."""
        for each in self._taken():
            _close(each)

    def black_hole(self, seconds: float) -> None:
        """Pass nothing on for a while; what was sent meanwhile is lost, and its connections end."""
        with self._lock:
            self._hole_until = time.monotonic() + seconds
        threading.Timer(seconds, self.reset).start()

    def refuse(self, seconds: float) -> None:
        """Refuse new connections for a while, and reset those that there are."""
        self._server.close()
        self.reset()

        def listen() -> None:
            self._server = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, name="proxy", daemon=True).start()

        threading.Timer(seconds, listen).start()

    def swallow(self) -> None:
        """Pass nothing on over the connections that are open now, and never end them; new ones work."""
        with self._lock:
            self._silent |= self._open

    def close(self) -> None:
        """Listen no more and end every connection."""
        _close(self._server)
        self.cut()

    def _taken(self) -> list[socket.socket]:
        with self._lock:
            taken, self._open = list(self._open), set()
        return taken

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        with self._lock:
            self._open.add(near)
        while time.monotonic() < self._hole_until:
            time.sleep(0.05)
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(self._target)
        except OSError:
            _close(near)
            _close(far)
            return
        with self._lock:
            if near not in self._open:
                _close(far)
                return
            self._open.add(far)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if time.monotonic() >= self._hole_until and source not in self._silent:
                    sink.sendall(data)
        for each in (source, sink):
            _close(each)
        with self._lock:
            self._open -= {source, sink}


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR) if each.fileno() >= 0 else None
    each.close()
