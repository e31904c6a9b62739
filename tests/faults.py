"""A proxy in front of an S3 server that makes requests fail on demand. SigV4 still holds: Host is passed on."""

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Literal

Fault = Literal["503", "500", "502", "reset", "cut", "shortened", "lost reply", "latency", "ignore condition"]
_ERROR = "<Error><Code>{}</Code><Message>{}</Message></Error>"
_ANSWERS: Mapping[Fault, tuple[str, str]] = {
    "503": ("503 Slow Down", _ERROR.format("SlowDown", "Please reduce your request rate.")),
    "500": ("500 Internal Server Error", _ERROR.format("InternalError", "We encountered an internal error.")),
    "502": ("502 Bad Gateway", "<html><body><h1>Bad Gateway</h1></body></html>"),
}


class FaultProxy:
    """Passes requests on to `upstream` (http://HOST:PORT), except those that `fail` and `fail_at_random` pick.

    503, 500, 502: answered so, and not passed on. reset: the connection breaks instead. lost reply: passed on, but the
    connection breaks before the answer. cut: a GET's body ends after half of it (`cut_after` bytes, if set).
    shortened: so does its announced length. latency: passed on after `latency_seconds`, and not while
    its path is `held`.
    """

    def __init__(self, upstream: str, *, seed: int = 0, address: str = "127.0.0.1") -> None:
        self._address = address
        host, _, port = upstream.removeprefix("http://").partition(":")
        self._upstream = (host, int(port))
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._next: list[tuple[Fault, str, str]] = []
        self._shares: dict[Fault, float] = {}
        self._only = ("", "")
        self.latency_seconds = 0.2
        self.held: str | None = None
        """A pattern. Those that wait are passed on when it is another one."""
        self.cut_after: int | None = None
        self.requests: list[str] = []
        """Method and path of each request so far."""
        self.injected: Counter[str] = Counter()
        """How often each fault struck."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, address, 0), self._loop
        ).result()

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self._server.sockets[0].getsockname()[1]}"

    def fail(self, fault: Fault, *, times: int = 1, method: str = "", path: str = "") -> None:
        """The next `times` requests (of `method`, with the pattern `path` in theirs, if given) go wrong in this way."""
        with self._lock:
            self._next += [(fault, method, path)] * times

    def fail_at_random(self, shares: Mapping[Fault, float], *, method: str = "", path: str = "") -> None:
        """From now on this share of requests goes wrong in each way; {} is none."""
        with self._lock:
            self._shares, self._only = dict(shares), (method, path)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _pick(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            for place, (fault, *only) in enumerate(self._next):
                if _matches(method, path, *only):
                    del self._next[place]
                    return fault
            if self._shares and _matches(method, path, *self._only):
                weights = [*self._shares.values(), 1 - sum(self._shares.values())]
                return self._random.choices([*self._shares, None], weights)[0]
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays."""
        head = await reader.readuntil(b"\r\n\r\n")
        if b"\nexpect:" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, head)
        method, path = head.decode("latin-1").split(" ", 2)[:2]
        fault = self._pick(method, path)
        if fault in ("cut", "shortened") and method != "GET":
            fault = None
        self.injected.update([fault] if fault else [])
        if fault in _ANSWERS:
            status, text = _ANSWERS[fault]
            text = "" if method == "HEAD" else text
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
            return True
        if fault == "reset":
            return _break(writer)
        if fault == "latency":
            began = self._loop.time()
            while self._loop.time() - began < self.latency_seconds or (self.held and re.search(self.held, path)):
                await asyncio.sleep(0.05)
        try:
            answer = await self._ask(_without(head, b"connection|expect"), body)
        except OSError:  # the server is away
            return _break(writer)
        if fault == "lost reply":
            return _break(writer)
        if fault == "ignore condition":
            answer = b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 0\r\n\r\n'
        head, _, body = answer.partition(b"\r\n\r\n")
        whole, head = len(body), _without(head + b"\r\n\r\n", b"connection")
        if fault in ("cut", "shortened"):
            body = body[: whole // 2 if self.cut_after is None else self.cut_after]
        if fault == "shortened":
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            head = _without(head, b"content-length")[:-2] + length
        writer.write(head + body)
        await writer.drain()
        return _break(writer) if fault == "cut" and len(body) < whole else True

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._upstream)
        writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        if not answer:
            raise ConnectionResetError
        return answer


def _matches(method: str, path: str, only_method: str, pattern: str) -> bool:
    return only_method in ("", method) and re.search(pattern, path) is not None


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if re.search(rb"(?i)\ntransfer-encoding:\s*chunked", head) is None:
        length = re.search(rb"(?i)\ncontent-length:\s*(\d+)", head)
        return await reader.readexactly(int(length[1]) if length else 0)
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        body += line + await reader.readexactly(int(line, 16) + 2)
        if int(line, 16) == 0:
            return body


def _without(head: bytes, names: bytes) -> bytes:
    return re.sub(rb"(?i)\n(" + names + rb"):[^\n]*(?=\n)", b"", head)


def _break(writer: asyncio.StreamWriter) -> bool:
    """The peer sees a connection that was reset."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return False
