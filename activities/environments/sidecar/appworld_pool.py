"""At most so many AppWorld worlds at once, each in a process of its own; an episode's world is a cache of its actions.

An episode beyond the pool's size does not wait for another to end: an idle world gives its place up, and is opened
again by replaying what was executed in it, which takes a tenth of a second and some 30 ms a step. Only while every
world is at work does a request wait. A world that was killed comes back in the same way.

Code that takes too long, exhausts its memory or ends the process is cut: the world is opened again as it was before it,
so that what follows does not depend on where it was interrupted.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appworld_engine import World, enter_root, judge, make_root
from child_process import Child, ChildDied, ChildFault, ChildTooLong, Request
from confinement import NOBODY, confine
from landlock import restrict
from protocol import canonical_json

OPEN_SECONDS, OPEN_CLOCK_SECONDS = 60.0, 200.0
STALE_SECONDS = 60.0
"""An episode that was idle for longer may never be played on."""
ATTEMPTS = 3
"""A world may be killed from outside while it works; more often than this is not the model's doing either, but worth an
error.
"""


@dataclass(frozen=True)
class PoolLimits:
    worlds: int
    """Processes at once."""
    seconds: float
    """Of processor time for one block of code."""
    clock_seconds: float
    """On the clock, for code that waits; a machine that is overloaded must not meet it."""
    memory_bytes: int
    """Address space of one world; 430 MB are in use when it opens, most of them shared."""


@dataclass(eq=False)
class Seat:
    """An episode's place at the pool: what was executed, and where its world's files are."""

    task_id: str
    root: Path
    executed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Code and what it gave; what was cut is not among them."""
    saved: bool = False
    """The files hold the world as it is after `executed`."""
    judged: dict[str, Any] | None = None
    """The judge's word on that."""
    last_used: float = 0.0


class WorldPool:
    def __init__(self, data_root: Path, scratch: Path, limits: PoolLimits) -> None:
        self._data_root = data_root
        self._scratch = scratch
        self.limits = limits
        self._seats = 0
        self._worlds: dict[Seat, Child] = {}  # least recently used first
        self._busy: set[Seat] = set()
        self._processes = 0
        self._changed = asyncio.Condition()

    def seat(self, task_id: str) -> Seat:
        self._seats += 1
        return Seat(task_id, self._scratch / str(self._seats))

    async def execute(self, seat: Seat, code: str) -> dict[str, Any]:
        """{"output", "completed"}, or {"cut": "limits" | "exit" | "fault"}.

        @raises ChildFault if the engine fails, ChildDied if the world is killed again and again
        """
        return await self._attempts(seat, lambda last: self._run(seat, code, last_attempt=last))

    async def judge(self, seat: Seat) -> dict[str, Any]:
        """{"passed", "tests", "success"}, from a process that never ran the model's code."""

        async def work(_: bool) -> dict[str, Any]:
            if not seat.saved:
                await self._open(seat)
                await self._let_go(seat)  # the judge may need its place
            seat.judged = seat.judged or await self._judge(seat)
            return seat.judged

        return await self._attempts(seat, work)

    async def _attempts(self, seat: Seat, work: Callable[[bool], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """`work` is told if it is the last attempt; a world that died or failed is opened anew for the next."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await work(attempt == ATTEMPTS)
            except (ChildDied, ChildFault):
                await self._end(seat)
                if attempt == ATTEMPTS:
                    raise
            finally:
                await self._let_go(seat)
        raise AssertionError("unreachable")

    def leave(self, seat: Seat) -> None:
        """Ends the seat's world and removes its files."""

        async def away() -> None:
            await self._end(seat)
            shutil.rmtree(seat.root, ignore_errors=True)

        _background(away())

    async def _run(self, seat: Seat, code: str, last_attempt: bool) -> dict[str, Any]:
        world = await self._open(seat)
        seat.saved, seat.judged = False, None
        try:
            reply = await self._ask(world, {"code": code})
        except ChildTooLong:
            reply = {"cut": "limits"}
        except ChildDied as death:
            if death.killed:
                raise
            reply = {"cut": "exit"}
        except ChildFault:
            # A fault of the machine shows when the world is opened again, which saves it; one that does not is the
            # code's.
            if not last_attempt:
                raise
            reply = {"cut": "fault"}
        if "cut" not in reply:
            seat.executed.append((code, reply))
            seat.saved = True
        if "cut" in reply or reply["completed"]:
            await self._end(seat)
        return reply

    async def _judge(self, seat: Seat) -> dict[str, Any]:
        await self._make_room()
        try:
            child = await Child.fork(lambda: _judging(seat))
            try:
                return await child.ask({}, OPEN_SECONDS, OPEN_CLOCK_SECONDS)
            except ChildTooLong:
                raise ChildFault(f"the evaluation of task {seat.task_id} took more than {OPEN_SECONDS:g} s") from None
            finally:
                await child.end()
        finally:
            await self._room_made()

    async def _open(self, seat: Seat) -> Child:
        """The seat's world as it is after `executed`, at work for the caller until it lets go."""
        self._busy.add(seat)
        seat.last_used = asyncio.get_running_loop().time()
        world = self._worlds.pop(seat, None)
        if world is not None:
            self._worlds[seat] = world
            return world
        await self._make_room()
        try:
            if not seat.root.exists():
                self._make_root(seat)
            world = await Child.fork(lambda: _playing(seat, self.limits.memory_bytes))
            self._worlds[seat] = world
        except BaseException:
            await self._room_made()
            raise
        try:
            await world.ask({}, OPEN_SECONDS, OPEN_CLOCK_SECONDS)
            for code, before in seat.executed:
                again = await self._ask(world, {"code": code})
                if canonical_json(again) != canonical_json(before):
                    changed = f"replayed code gave another result than before: {again} instead of {before}"
                    raise ChildFault(f"task {seat.task_id}: {changed}"[:1000])
        except ChildTooLong:
            raise ChildFault(
                f"task {seat.task_id}: opening its world, or what took less time before, took too long"
            ) from None
        seat.saved = True
        return world

    def _make_root(self, seat: Seat) -> None:
        make_root(seat.root, self._data_root)
        if os.geteuid() == 0:
            os.chown(seat.root, NOBODY, NOBODY)

    async def _ask(self, world: Child, request: Request) -> Any:
        return await world.ask(request, self.limits.seconds, self.limits.clock_seconds)

    async def _make_room(self) -> None:
        """Takes a place for one more process, from an idle world if all are taken."""
        async with self._changed:
            while self._processes >= self.limits.worlds:
                idle = [seat for seat in self._worlds if seat not in self._busy]
                if not idle:
                    await self._changed.wait()
                    continue
                # Rollouts step their episodes in turn: the one that was used last is needed last.
                stale = asyncio.get_running_loop().time() - idle[0].last_used > STALE_SECONDS
                await self._worlds.pop(idle[0] if stale else idle[-1]).end()
                self._processes -= 1
            self._processes += 1

    async def _room_made(self) -> None:
        async with self._changed:
            self._processes -= 1
            self._changed.notify_all()

    async def _let_go(self, seat: Seat) -> None:
        self._busy.discard(seat)
        async with self._changed:
            self._changed.notify_all()

    async def _end(self, seat: Seat) -> None:
        world = self._worlds.pop(seat, None)
        if world is not None:
            await world.end()
            await self._room_made()


def _playing(seat: Seat, memory_bytes: int) -> Callable[[Request], Any]:
    """In the child: opens the world with the rights there are, then gives up what model code must not have."""
    enter_root(seat.root)
    world = World(seat.task_id)
    if os.geteuid() == 0:
        for folder, folders, files in os.walk(seat.root):
            for name in [*folders, *files]:
                os.chown(os.path.join(folder, name), NOBODY, NOBODY, follow_symlinks=False)
    # Not the data: the answers are in it. The engine has read what it needs.
    restrict(
        readable=map(Path, (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/dev/urandom")),
        writable=(seat.root, Path("/dev/null")),
    )
    confine(memory_bytes)
    return lambda request: world.execute(request["code"]) if "code" in request else None


def _judging(seat: Seat) -> Callable[[Request], Any]:
    enter_root(seat.root)
    return lambda request: judge(seat.task_id)


def make_scratch() -> Path:
    """A folder of this process; those of processes that were killed are removed."""
    prefix = "seeupo-appworld-"
    for old in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        pid = old.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(old, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
    scratch.chmod(0o711)
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return scratch


_under_way: set[asyncio.Task[None]] = set()


def _background(work: Any) -> None:
    """Runs to its end without being waited for; the loop alone would not keep a task alive."""
    task = asyncio.get_running_loop().create_task(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
