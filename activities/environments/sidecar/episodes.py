"""Live episodes: idempotent steps, restore by replay, bounds and expiry. No HTTP, no environment in here.

Idempotence: a reply is stored under (episode, step index). The same request again returns the stored
reply; another action at a used index, or a gap, is a conflict. So a caller that lost a reply just asks
again, and the simulator never executes an action twice.

Calls of one episode follow one another; those of different episodes overlap where the adapter's do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, TypeVar, cast

from adapter import Adapter, Episode, UnknownTask
from protocol import ProtocolError, canonical_json, observation

EVICTABLE_AFTER_S = 60.0
"""When all places are taken, an episode idle for this long gives way: its owner can restore it."""

T = TypeVar("T")


@dataclass
class _Live:
    task_id: str
    seed: int
    episode: Episode
    observations: list[dict[str, Any]]
    """At reset, then after each step."""
    actions: list[bytes] = field(default_factory=list)
    """Canonical JSON of each step's action."""
    last_used: float = 0.0


@dataclass
class _Turnstile:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    calls: int = 0


class EpisodeStore:
    """All live episodes of one adapter. For one thread."""

    def __init__(
        self,
        adapter: Adapter,
        max_episodes: int = 4096,
        idle_expiry_s: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._adapter = adapter
        self._max_episodes = max_episodes
        self._idle_expiry_s = idle_expiry_s
        self._clock = clock
        self._live: dict[str, _Live] = {}  # least recently used first
        self._turnstiles: dict[str, _Turnstile] = {}  # of episodes with a call under way

    def __len__(self) -> int:
        return len(self._live)

    async def reset(self, episode_id: str, task_id: str, seed: int) -> dict[str, Any]:
        async with self._alone(episode_id):
            live = self._live.get(episode_id)
            if live is None:
                self._make_room()
                live = self._open(task_id, seed)
            elif (live.task_id, live.seed) != (task_id, seed):
                raise ProtocolError(
                    "step_conflict",
                    f"episode {episode_id} is task {live.task_id} with seed {live.seed}, not task {task_id} with seed "
                    f"{seed}: choose another episode id, or close this one first",
                )
            self._touch(episode_id, live)
            return live.observations[0]

    async def step(self, episode_id: str, step_index: int, action: dict[str, Any]) -> dict[str, Any]:
        async with self._alone(episode_id):
            live = self._find(episode_id)
            taken = len(live.actions)
            written = canonical_json(action)
            if step_index <= taken:
                if live.actions[step_index - 1] == written:
                    return live.observations[step_index]
                raise ProtocolError(
                    "step_conflict",
                    f"episode {episode_id}: step {step_index} was taken with another action; "
                    "an action cannot be changed",
                )
            if step_index > taken + 1:
                raise ProtocolError(
                    "step_conflict",
                    f"episode {episode_id}: step {step_index} leaves a gap, the next is step {taken + 1}",
                )
            if live.observations[-1]["done"]:
                raise ProtocolError(
                    "step_conflict", f"episode {episode_id} ended with step {taken}: no step {step_index}"
                )
            try:
                return await self._take(live, action, written)
            except BaseException:
                # Half an action may have been executed: forget the episode, so that the caller restores it.
                self._drop(episode_id)
                raise

    async def evaluate(self, episode_id: str) -> dict[str, Any]:
        async with self._alone(episode_id):
            return await _settled(self._find(episode_id).episode.verdict())

    async def close(self, episode_id: str) -> None:
        async with self._alone(episode_id):
            self._drop(episode_id)

    async def restore(
        self, episode_id: str, task_id: str, seed: int, actions: list[dict[str, Any]], hashes: list[str]
    ) -> dict[str, Any]:
        """Replays the actions in a new instance, which replaces a live one only if every observation agrees."""
        if len(hashes) != len(actions) + 1:
            raise ProtocolError(
                "bad_request",
                f"observationHashes: expected {len(actions) + 1} (one at reset, one per action), found {len(hashes)}",
            )
        async with self._alone(episode_id):
            live = self._open(task_id, seed)
            try:
                await self._replay(episode_id, live, actions, hashes)
                if episode_id not in self._live:
                    self._make_room()
            except BaseException:
                live.episode.close()
                raise
            replaced = self._live.get(episode_id)
            if replaced is not None:
                replaced.episode.close()
            self._touch(episode_id, live)
            return live.observations[-1]

    @asynccontextmanager
    async def _alone(self, episode_id: str) -> AsyncIterator[None]:
        """Calls of one episode pass one after the other, in the order in which they came."""
        turnstile = self._turnstiles.setdefault(episode_id, _Turnstile())
        turnstile.calls += 1
        try:
            async with turnstile.lock:
                yield
        finally:
            turnstile.calls -= 1
            if turnstile.calls == 0:
                del self._turnstiles[episode_id]

    def _open(self, task_id: str, seed: int) -> _Live:
        try:
            episode = self._adapter.open(task_id, seed)
        except UnknownTask as error:
            raise ProtocolError("unknown_task", str(error)) from None
        messages, done = episode.start()
        return _Live(task_id, seed, episode, [observation(messages, done)])

    async def _take(self, live: _Live, action: dict[str, Any], written: bytes) -> dict[str, Any]:
        messages, done = await _settled(live.episode.step(action))
        live.observations.append(observation(messages, done))
        live.actions.append(written)
        return live.observations[-1]

    async def _replay(self, episode_id: str, live: _Live, actions: list[dict[str, Any]], hashes: list[str]) -> None:
        self._expect_hash(episode_id, live, hashes)
        for action in actions:
            if live.observations[-1]["done"]:
                raise ProtocolError(
                    "restore_mismatch",
                    f"episode {episode_id}: the replay ended at index {len(live.actions)}, "
                    f"{len(actions)} actions were recorded",
                )
            await self._take(live, action, canonical_json(action))
            self._expect_hash(episode_id, live, hashes)

    def _expect_hash(self, episode_id: str, live: _Live, hashes: list[str]) -> None:
        index = len(live.observations) - 1
        found, recorded = live.observations[index]["hash"], hashes[index]
        if found != recorded:
            raise ProtocolError(
                "restore_mismatch",
                f"episode {episode_id}, task {live.task_id}: replayed observation {index} (0 is the reset) has hash "
                f"{found}, recorded was {recorded}: the environment's version differs from the one that played it",
            )

    def _find(self, episode_id: str) -> _Live:
        live = self._live.get(episode_id)
        if live is None:
            raise ProtocolError(
                "episode_lost", f"episode {episode_id} is not live here (restart, expiry or close): POST /restore it"
            )
        self._touch(episode_id, live)
        return live

    def _touch(self, episode_id: str, live: _Live) -> None:
        live.last_used = self._clock()
        self._live.pop(episode_id, None)
        self._live[episode_id] = live

    def _drop(self, episode_id: str) -> None:
        live = self._live.pop(episode_id, None)
        if live is not None:
            live.episode.close()

    def _make_room(self) -> None:
        self._expire(self._idle_expiry_s)
        if len(self._live) >= self._max_episodes:
            self._expire(min(EVICTABLE_AFTER_S, self._idle_expiry_s))
        if len(self._live) >= self._max_episodes:
            raise ProtocolError(
                "too_many_episodes",
                f"{self._max_episodes} episodes are live: close some, wait, "
                "or start the sidecar with a larger --max-episodes",
            )

    def _expire(self, idle_s: float) -> None:
        """Drops what has been idle for so long; an episode with a call under way is not idle."""
        oldest_kept = self._clock() - idle_s
        while self._live:
            least_recent = next(iter(self._live))
            if self._live[least_recent].last_used > oldest_kept:
                return
            if least_recent in self._turnstiles:
                self._touch(least_recent, self._live[least_recent])
            else:
                self._drop(least_recent)


async def _settled(value: T | Awaitable[T]) -> T:
    return await cast("Awaitable[T]", value) if isawaitable(value) else value
