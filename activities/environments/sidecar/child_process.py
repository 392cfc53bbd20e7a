"""A forked child that answers requests over a socket, watched from outside: its clock may be frozen, its code may not
end.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MAX_FRAME_BYTES = 4 << 20
WATCH_S = 0.1
"""How often a working child is looked at."""
REAP_S = 0.002
_PR_SET_PDEATHSIG = 1
_TICKS = os.sysconf("SC_CLK_TCK")
_LENGTH = struct.Struct("!I")

Request = dict[str, Any]
Serve = Callable[[], Callable[[Request], Any]]
"""Runs in the child: prepares, and gives what answers a request with a JSON value."""


class ChildTooLong(Exception):
    """The child took more time than it may; it has been killed."""


class ChildDied(Exception):
    """The child ended by itself or was killed by someone else."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the process ended with {describe(status)}")
        self.killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGTERM)
        """By a person or the machine, rather than by what it ran."""


class ChildFault(Exception):
    """The child could not answer: an error that is not the model's. It has been killed."""


def describe(status: int) -> str:
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"


class Child:
    """One process of our own. Ask it one thing at a time."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer
        self._status: int | None = None

    @classmethod
    async def fork(cls, serve: Serve) -> Child:
        """A copy of this process. It has no file or socket of the parent's, and does not outlive it."""
        loop = asyncio.get_running_loop()
        forked: asyncio.Future[tuple[int, socket.socket]] = loop.create_future()
        # By the loop itself: how deep the child may recurse then does not depend on who asked for it.
        loop.call_soon(_fork, serve, forked)
        pid, channel = await forked
        reader, writer = await asyncio.open_connection(sock=channel)
        return cls(pid, reader, writer)

    async def ask(self, request: Request, max_seconds: float, max_clock_seconds: float) -> Any:
        """@param max_seconds of processor time, so that a busy machine changes nothing; the clock is for code that
        waits

        @raises ChildTooLong, ChildDied, ChildFault
        """
        try:
            _write(self._writer, request)
            reading = asyncio.ensure_future(self._read())
            try:
                await self._watch(reading, max_seconds, max_clock_seconds)
                reply = reading.result()
            finally:
                reading.cancel()
        except (asyncio.IncompleteReadError, ConnectionError):
            raise ChildDied(await self.end()) from None
        if "fault" in reply:
            await self.end()
            raise ChildFault(reply["fault"])
        return reply["value"]

    async def end(self) -> int:
        """SIGKILL, and waits until the process is gone; its wait status. Safe to call twice."""
        if self._status is None:
            self._writer.close()
            for kill in (os.killpg, os.kill):  # what it has started goes with it; it may not lead a group yet
                with suppress(ProcessLookupError):
                    kill(self.pid, signal.SIGKILL)
            while self._status is None:
                gone, status = os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
                if gone:
                    self._status = status
                else:
                    await asyncio.sleep(REAP_S)
        return self._status

    async def _watch(self, reading: asyncio.Future[Any], max_seconds: float, max_clock_seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        used_before, deadline = self._processor_seconds(), clock() + max_clock_seconds
        while not (await asyncio.wait({reading}, timeout=WATCH_S))[0]:
            if self._processor_seconds() - used_before > max_seconds or clock() > deadline:
                await self.end()
                raise ChildTooLong

    def _processor_seconds(self) -> float:
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except FileNotFoundError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS

    async def _read(self) -> Any:
        (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise ConnectionError(f"a reply of {length} bytes, the limit is {MAX_FRAME_BYTES}")
        return json.loads(await self._reader.readexactly(length))


def _write(writer: Any, value: Any) -> None:
    written = json.dumps(value).encode("ascii")
    writer.write(_LENGTH.pack(len(written)) + written)


def _fork(serve: Serve, forked: asyncio.Future[tuple[int, socket.socket]]) -> None:
    try:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
    except OSError as error:
        forked.set_exception(error)
        return
    if pid == 0:
        _be_child(theirs, serve, parent)
    theirs.close()
    forked.set_result((pid, ours))


def _be_child(channel: socket.socket, serve: Serve, parent: int) -> None:
    """Never returns: this is a copy of a process in the middle of something else."""
    try:
        os.setsid()
        for ours in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ours, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1):
            os.dup2(nowhere, standard)
        kept = channel.fileno()
        os.closerange(3, kept)
        os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
        with channel.makefile("rwb") as stream:
            answer = _answering(serve)
            # Once rights are given away: the kernel forgets it with them.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(0)
            while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
                request = json.loads(stream.read(_LENGTH.unpack(head)[0]))
                _write(stream, answer(request))
                stream.flush()
    except BaseException:  # noqa: BLE001 - whatever it is, nothing of the parent's may run on in here
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _answering(serve: Serve) -> Callable[[Request], Any]:
    """What fails in the child is told to the parent as a fault, whenever it fails."""
    try:
        answer = serve()
    except Exception:  # noqa: BLE001
        fault = traceback.format_exc()
        return lambda request: {"fault": fault}

    def guarded(request: Request) -> Any:
        try:
            return {"value": answer(request)}
        except Exception:  # noqa: BLE001
            return {"fault": traceback.format_exc()}

    return guarded
