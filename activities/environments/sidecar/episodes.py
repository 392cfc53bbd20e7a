"""Live episodes: idempotent steps, restore by replay, bounds and expiry. No HTTP, no environment in here.

Idempotence: a reply is stored under (episode, step index). The same request again returns the stored
reply; another action at a used index, or a gap, is a conflict. So a caller that lost a reply just asks
again, and the simulator never executes an action twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable

from adapter import Adapter, Episode, UnknownTask
from protocol import ProtocolError, canonical_json, observation

EVICTABLE_AFTER_S = 60.0
"""When all places are taken, an episode idle for this long gives way: its owner can restore it."""


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


class EpisodeStore:
    """All live episodes of one adapter. Not thread-safe: the server answers one call after the other."""

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

    def __len__(self) -> int:
        return len(self._live)

    def reset(self, episode_id: str, task_id: str, seed: int) -> dict[str, Any]:
        live = self._live.get(episode_id)
        if live is None:
            live = self._open(task_id, seed)
            self._admit(episode_id, live)
        elif (live.task_id, live.seed) != (task_id, seed):
            raise ProtocolError(
                "step_conflict",
                f"episode {episode_id} is task {live.task_id} with seed {live.seed}, not task {task_id} with seed "
                f"{seed}: choose another episode id, or close this one first",
            )
        self._touch(episode_id, live)
        return live.observations[0]

    def step(self, episode_id: str, step_index: int, action: dict[str, Any]) -> dict[str, Any]:
        live = self._find(episode_id)
        taken = len(live.actions)
        written = canonical_json(action)
        if step_index <= taken:
            if live.actions[step_index - 1] == written:
                return live.observations[step_index]
            raise ProtocolError(
                "step_conflict",
                f"episode {episode_id}: step {step_index} was taken with another action; an action cannot be changed",
            )
        if step_index > taken + 1:
            raise ProtocolError(
                "step_conflict", f"episode {episode_id}: step {step_index} leaves a gap, the next is step {taken + 1}"
            )
        if live.observations[-1]["done"]:
            raise ProtocolError("step_conflict", f"episode {episode_id} ended with step {taken}: no step {step_index}")
        try:
            after = self._take(live, action, written)
        except BaseException:
            # Half an action may have been executed: forget the episode, so that the caller restores it.
            del self._live[episode_id]
            raise
        return after

    def evaluate(self, episode_id: str) -> dict[str, Any]:
        return self._find(episode_id).episode.verdict()

    def close(self, episode_id: str) -> None:
        self._live.pop(episode_id, None)

    def restore(
        self, episode_id: str, task_id: str, seed: int, actions: list[dict[str, Any]], hashes: list[str]
    ) -> dict[str, Any]:
        """Replays the actions in a new instance, which replaces a live one only if every observation agrees."""
        if len(hashes) != len(actions) + 1:
            raise ProtocolError(
                "bad_request",
                f"observationHashes: expected {len(actions) + 1} (one at reset, one per action), found {len(hashes)}",
            )
        live = self._open(task_id, seed)
        self._expect_hash(episode_id, live, hashes)
        for action in actions:
            if live.observations[-1]["done"]:
                raise ProtocolError(
                    "restore_mismatch",
                    f"episode {episode_id}: the replay ended at index {len(live.actions)}, {len(actions)} actions were recorded",
                )
            self._take(live, action, canonical_json(action))
            self._expect_hash(episode_id, live, hashes)
        if episode_id not in self._live:
            self._admit(episode_id, live)
        self._touch(episode_id, live)
        return live.observations[-1]

    def _open(self, task_id: str, seed: int) -> _Live:
        try:
            episode = self._adapter.open(task_id, seed)
        except UnknownTask as error:
            raise ProtocolError("unknown_task", str(error)) from None
        messages, done = episode.start()
        return _Live(task_id, seed, episode, [observation(messages, done)])

    def _take(self, live: _Live, action: dict[str, Any], written: bytes) -> dict[str, Any]:
        messages, done = live.episode.step(action)
        live.observations.append(observation(messages, done))
        live.actions.append(written)
        return live.observations[-1]

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

    def _admit(self, episode_id: str, live: _Live) -> None:
        self._expire(self._idle_expiry_s)
        if len(self._live) >= self._max_episodes:
            self._expire(min(EVICTABLE_AFTER_S, self._idle_expiry_s))
        if len(self._live) >= self._max_episodes:
            raise ProtocolError(
                "too_many_episodes",
                f"{self._max_episodes} episodes are live: close some, wait, or start the sidecar with a larger --max-episodes",
            )
        self._live[episode_id] = live

    def _expire(self, idle_s: float) -> None:
        oldest_kept = self._clock() - idle_s
        while self._live:
            least_recent = next(iter(self._live))
            if self._live[least_recent].last_used > oldest_kept:
                return
            del self._live[least_recent]
