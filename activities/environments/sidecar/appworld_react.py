"""`appworld`: the real AppWorld engine and evaluation, on the user's own data.

A response is a thought and a block of Python; the block is run in the episode's world and its output follows. The
episode ends when the code marks the task complete. The reward is what the official evaluation says of the world then.

Task ids are the official ones; options follow behind a `?`: `82e2fac_1?prompt=authors&reward=shaped`. A task set names
where held-out tasks come from, `authors` (dev), `test_normal` or `test_challenge`, with the same options; training
tasks are those of the dataset `train`.

- prompt=react: a response without a block, or with one that is none, is told what was wrong.
- prompt=authors: it gets an empty message, as in the paper's code.
- reward=dense: share of the task's tests that pass; some pass if nothing is done. sparse: 1 if all pass, else 0.
  shaped: the paper's, 1.5 for all and half the share otherwise, divided by 1.5: advantages are normalised, so only the
  ratio counts.
"""

from __future__ import annotations

from typing import Any

from adapter import Message, UnknownTask
from appworld_engine import Tasks
from appworld_pool import WorldPool
from appworld_prompt import NO_BLOCK, conversation, output_message
from task_options import task_options

OPTIONS = {"prompt": ("react", "authors"), "reward": ("dense", "sparse", "shaped")}
TASK_SETS = {"authors": "dev", "test_normal": "test_normal", "test_challenge": "test_challenge"}
CUTS = {
    # One text for both: which limit is met first may differ between machines, and a replay must read the same.
    "limits": "Exception: the code took more than {seconds:g} seconds or {mebibytes} MiB of memory",
    "exit": "SystemExit: the code ended the program it runs in",
    "fault": "Exception: the code broke the world it runs in",
}


class AppWorldReact:
    """The adapter; worlds are the pool's."""

    name = "appworld"
    concurrent = True

    def __init__(self, tasks: Tasks, pool: WorldPool) -> None:
        self._tasks = tasks
        self._pool = pool

    def list_tasks(self, split: str, task_set: str | None) -> list[dict[str, Any]]:
        chosen, _, written = (task_set or "authors").partition("?")
        if chosen not in TASK_SETS:
            raise ValueError(f"taskSet: {chosen!r} is unknown, expected one of {sorted(TASK_SETS)}")
        task_options(written, OPTIONS)
        dataset = "train" if split == "train" else TASK_SETS[chosen]
        suffix = f"?{written}" if written else ""
        return [{"id": task_id + suffix, "split": split, "turns": 1} for task_id in self._tasks.ids(dataset)]

    def open(self, task_id: str, seed: int) -> AppWorldEpisode:
        """The seed changes nothing: the engine's own is fixed, as in the benchmark."""
        official_id, _, written = task_id.partition("?")
        try:
            return AppWorldEpisode(
                official_id, self._tasks.specification(official_id), task_options(written, OPTIONS), self._pool
            )
        except KeyError:
            raise UnknownTask(f"appworld has no task {official_id[:60]!r} in its data; {self._examples()}") from None
        except ValueError as error:
            raise UnknownTask(str(error)) from None

    def demonstrations(self) -> list[dict[str, Any]]:
        return []

    def _examples(self) -> str:
        return f"it has e.g. {', '.join(self._tasks.ids('train')[:3])}"


class AppWorldEpisode:
    def __init__(self, task_id: str, specification: dict[str, Any], options: dict[str, str], pool: WorldPool) -> None:
        self._specification = specification
        self._options = options
        self._pool = pool
        self._seat = pool.seat(task_id)

    def start(self) -> tuple[list[Message], bool]:
        return conversation(self._specification), False

    async def step(self, action: dict[str, Any]) -> tuple[list[Message], bool]:
        code = code_of(action)
        if code is None:
            return [self._without_code(action)], False
        result = await self._pool.execute(self._seat, code)
        if "cut" in result:
            return [self._undone(result["cut"])], False
        return [output_message(result["output"])], result["completed"]

    async def verdict(self) -> dict[str, Any]:
        judged = await self._pool.judge(self._seat)
        success, share = judged["success"], judged["passed"] / max(1, judged["tests"])
        score = {"dense": share, "sparse": float(success), "shaped": 1.0 if success else share / 3}[
            self._options["reward"]
        ]
        return {"score": score, "success": success, "turnsPassed": [success]}

    def close(self) -> None:
        self._pool.leave(self._seat)

    def _undone(self, cut: str) -> Message:
        limits = self._pool.limits
        why = CUTS[cut].format(seconds=limits.seconds, mebibytes=limits.memory_bytes >> 20)
        return output_message(f"Execution failed. Traceback:\n{why}. What it did was undone.\n")

    def _without_code(self, action: dict[str, Any]) -> Message:
        if self._options["prompt"] == "authors":
            return {"role": "user", "content": ""}
        wrong = next((call["malformed"] for call in action["calls"] if "malformed" in call), None)
        return output_message(NO_BLOCK if wrong is None else f"No code was executed: {wrong}.")


def code_of(action: dict[str, Any]) -> str | None:
    """The program of an action: the one call `python(code)` that the response's code block was read as."""
    for call in action["calls"]:
        if (
            call.get("name") == "python"
            and len(call["positional"]) == 1
            and not call["keyword"]
            and isinstance(call["positional"][0], str)
        ):
            return call["positional"][0]
    return None
