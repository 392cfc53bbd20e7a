"""What an environment has to offer so that the sidecar can serve it: two small interfaces.

An adapter knows tasks and starts episodes. Everything about HTTP, retries, stored replies, restores and
expiry is the server's (`episodes.py`): an adapter only has to be deterministic, so that replaying the
same actions gives the same observations, byte for byte.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

Message = dict[str, Any]
"""{"role": "system" | "user" | "assistant" | "tool", "content": text}, and "verbatim" where parts of it are never
markup.
"""


class UnknownTask(Exception):
    """The task id is not one that `list_tasks` gives; the message names some that are."""


class Episode(Protocol):
    """One start state being played; owns everything it changes, so that episodes never touch each other.

    `step` and `verdict` of a concurrent adapter are coroutines; of one episode, only one runs at a time.
    """

    def start(self) -> tuple[list[Message], bool]:
        """The conversation before the first response, and whether the episode is over already."""
        ...

    def step(self, action: dict[str, Any]) -> tuple[list[Message], bool] | Awaitable[tuple[list[Message], bool]]:
        """Executes one response: the messages that follow it, and whether the episode is over.

        Whatever a model can write must end in messages, never in an exception: an exception here is a
        fault of the environment, and the caller replays the episode from its recorded actions.
        """
        ...

    def verdict(self) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """{"score": 0..1, "success": bool, "turnsPassed": [bool, ...]}; a pure read, at any time."""
        ...

    def close(self) -> None:
        """Gives back what the episode holds besides memory; nothing is asked of it afterwards."""


class Adapter(Protocol):
    """One environment: its tasks, its episodes, and the demonstrations a warm start may imitate."""

    name: str
    concurrent: bool
    """Whether steps wait for other processes, so that those of different episodes may overlap. If not, each is limited
    in processor time.
    """

    def list_tasks(self, split: str, task_set: str | None) -> list[dict[str, Any]]:
        """[{"id", "split", "turns"}] of one split, in a fixed order; ValueError for an unknown task set."""
        ...

    def open(self, task_id: str, seed: int) -> Episode:
        """A new episode of the task; raises UnknownTask."""
        ...

    def demonstrations(self) -> list[dict[str, Any]]:
        """[{"taskId", "messages", "firstTarget"}]; empty if the environment has no known answers."""
        ...
