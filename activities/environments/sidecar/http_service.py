"""A small HTTP/1.1 server for one thread: keep-alive, Content-Length bodies, on a connection one answer after the
other.

`http.server` gives every connection a thread and parses headers as e-mail, which together cost several times what a
step of an environment does. Requests of this protocol are short and answered at once, or by another process that is
waited for, so one thread that reads them as they come is both simpler and faster. Refused is whatever the protocol has
no use for: other methods, chunked bodies, large heads, bodies that are too large or of another content type.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from protocol import MAX_BODY_BYTES, canonical_json

MAX_HEAD_BYTES = 16 * 1024
IDLE_S = 120.0
_BACKLOG = 512

Reply = tuple[int, bytes]
"""Status and JSON body."""
Answer = Callable[[str, bytes], Reply | Awaitable[Reply]]
"""The reply to path and body of a POST, or the promise of one; never raises."""


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._used = 0.0
        self._awaited: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._used = asyncio.get_running_loop().time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._idle is not None:
            self._idle.cancel()

    def _watch(self) -> None:
        """Closes the connection once nothing has come for IDLE_S; one timer, moved on when it fires."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            return
        left = self._used + IDLE_S - loop.time()
        if self._awaited is not None:
            self._idle = loop.call_later(IDLE_S, self._watch)
        elif left <= 0:
            self._transport.close()
        else:
            self._idle = loop.call_later(left, self._watch)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._take_requests()

    def _take_requests(self) -> None:
        self._used = asyncio.get_running_loop().time()
        while (
            self._transport is not None
            and not self._transport.is_closing()
            and self._awaited is None
            and self._take_request()
        ):
            pass

    def _take_request(self) -> bool:
        """Answers the first whole request in what was received; False if there is none yet."""
        end = self._received.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES + 4)
        if end < 0:
            if len(self._received) > MAX_HEAD_BYTES:
                self._refuse(431, f"head of the request: more than {MAX_HEAD_BYTES} bytes")
            return False
        start_line, *lines = bytes(self._received[:end]).decode("latin-1").split("\r\n")
        method, _, rest = start_line.partition(" ")
        path, _, version = rest.rpartition(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            self._refuse(505, f"{version[:20]!r}: expected HTTP/1.1")
            return False
        if method == "GET" and path == "/healthz":
            del self._received[: end + 4]
            self._reply(200, b"OK", "text/plain", closing=_closes(version, headers))
            return True
        if method != "POST":
            self._refuse(
                404 if method == "GET" else 405, f"no {method[:20]} {path[:100]}; there is GET /healthz, and POST"
            )
            return False
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or "transfer-encoding" in headers:
            self._refuse(411, "Content-Length is missing or no number")
            return False
        if int(length[:20]) > MAX_BODY_BYTES:
            self._refuse(413, f"body of {length[:20]} bytes, the limit is {MAX_BODY_BYTES}")
            return False
        # A web page can send text/plain to loopback without asking; it cannot send this.
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            self._refuse(415, "Content-Type: expected application/json")
            return False
        whole = end + 4 + int(length)
        if len(self._received) < whole:
            return False
        body = bytes(self._received[end + 4 : whole])
        del self._received[:whole]
        reply, closing = self._answer(path, body), _closes(version, headers)
        if isinstance(reply, tuple):
            self._reply(*reply, "application/json", closing)
        else:
            self._awaited = asyncio.create_task(self._reply_later(reply, closing))
        return True

    async def _reply_later(self, reply: Awaitable[Reply], closing: bool) -> None:
        """Nothing more is read from the connection until the reply is there."""
        if self._transport is not None:
            self._transport.pause_reading()
        status, body = await reply
        self._awaited = None
        self._reply(status, body, "application/json", closing)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._take_requests()

    def _refuse(self, status: int, message: str) -> None:
        """What follows cannot be read as a request: the connection ends."""
        self._received.clear()
        self._reply(
            status, canonical_json({"code": "bad_request", "message": message}), "application/json", closing=True
        )

    def _reply(self, status: int, body: bytes, content_type: str, closing: bool) -> None:
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: {'close' if closing else 'keep-alive'}\r\n\r\n"
        )
        if self._transport is not None:
            self._transport.write(head.encode("ascii") + body)
            if closing:
                self._transport.close()


def _closes(version: str, headers: dict[str, str]) -> bool:
    wanted = headers.get("connection", "").lower()
    return wanted == "close" or (version == "HTTP/1.0" and wanted != "keep-alive")


def listening_socket(host: str, port: int) -> socket.socket:
    """@raises OSError if the address is taken or none of this machine"""
    return socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
    )


async def serve(listening: socket.socket, answer: Answer) -> None:
    """Answers requests until it is cancelled."""
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(answer), sock=listening, backlog=_BACKLOG
    )
    async with server:
        await server.serve_forever()
