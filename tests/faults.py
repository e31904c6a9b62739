"""A proxy in front of an S3 server that makes requests fail on demand. SigV4 still holds: Host is passed on."""

import contextlib
import http.client
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["503", "reset", "cut", "lost reply", "ignore condition"]
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class FaultProxy:
    """Passes requests on to `upstream` (http://HOST:PORT), except those that `fail` picks."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.removeprefix("http://")
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, str]] = []
        self.requests: list[str] = []
        """Method and path of each request so far."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, fault: Fault, *, times: int = 1, method: str = "") -> None:
        """The next `times` requests (of `method`, if given) go wrong in this way."""
        with self._lock:
            self._faults += [(fault, method)] * times

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            for place, (fault, only) in enumerate(self._faults):
                if only in ("", method):
                    del self._faults[place]
                    return fault
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self._body()
        fault = self.owner.next_fault(self.command, self.path)
        if fault == "503":
            self._answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
            return
        if fault == "reset":
            self._reset()
            return
        upstream = http.client.HTTPConnection(self.owner._upstream)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect", "transfer-encoding", "content-length"):
                upstream.putheader(name, value)
        upstream.putheader("Content-Length", str(len(body)))
        upstream.endheaders(body)
        answer = upstream.getresponse()
        data, headers = answer.read(), answer.getheaders()
        upstream.close()
        if fault == "lost reply":
            self._reset()
        elif fault == "cut":
            self._answer(answer.status, headers, data[: len(data) // 2], length=len(data))
            self._reset()
        elif fault == "ignore condition":
            self._answer(200, [("ETag", '"0"')], b"")
        else:
            self._answer(answer.status, headers, data)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, length: int | None = None) -> None:
        self.send_response_only(status)
        sizes = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        self.send_header("Content-Length", sizes[0] if is_head and sizes else str(length or len(data)))
        self.end_headers()
        if not is_head:
            self.wfile.write(data)
            self.wfile.flush()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the connection that a fault has closed
            super().handle()
