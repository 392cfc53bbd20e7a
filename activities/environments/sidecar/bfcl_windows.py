"""`bfcl-windows`: a derivative of BFCL v4 multi-turn for very small models. Its scores are not BFCL scores.

A window `task:turn` (two user turns) or `task:turn:turns` is a stretch of a multi_turn_base task. The turns
before it are replayed with the ground truth, in the prompt and in the simulators. One response plays one
turn: its first MAX_CALLS calls are executed, then the next user message follows. `task:turn:turns:on` plays on
after a failed turn: every episode then has all its turns. Simulators and checks are the official ones; what
differs from BFCL is everything else:

- prompts name only the functions the window needs and two distractors, as bare signatures, with two examples
- one response per turn instead of up to twenty steps; results cut to 100 characters
- an episode ends at its first failed turn (unless `on`), and the reward is dense: turns passed before the first
  failed one / turns of the window

Which windows there are is data: `bfcl_windows.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter import Message, UnknownTask
from bfcl_actions import resolve
from bfcl_prompt import (
    PromptLayout,
    answer,
    estimate_conversation_tokens,
    example_pool,
    result_lines,
)
from bfcl_simulators import BfclTask, Call, OfficialTurnCheck, Simulators, load_tasks

MAX_CALLS = 4
DEFAULT_TURNS = 2
DEFAULT_TASK_SET = "quickstart"
TRAIN_HALF = range(100)
"""The authors' split: tasks 0..99 train, 100..199 test."""
MAX_DEMONSTRATION_TOKENS = 430
"""By the estimate; the longest demonstration then has 448 tokens of SmolLM2."""
MAX_DEMONSTRATED_CALLS = 3


@dataclass(frozen=True)
class Window:
    id: str
    split: str
    task_number: int
    first_turn: int
    turns: int
    plays_on: bool

    @property
    def last_turn(self) -> int:
        return self.first_turn + self.turns - 1


class BfclWindows:
    """The adapter. Prompts are built once per window; episodes own their simulators."""

    name = "bfcl-windows"
    concurrent = False

    def __init__(self) -> None:
        self._tasks = dict(enumerate(load_tasks("multi_turn_base")))
        listed = json.loads(Path(__file__).with_name("bfcl_windows.json").read_text(encoding="utf-8"))
        self._task_sets: dict[str, dict[str, list[str]]] = listed["taskSets"]
        self._windows = {
            window_id: self._window(window_id, split)
            for task_set in self._task_sets.values()
            for split, ids in task_set.items()
            for window_id in ids
        }
        # Demonstrations come from tasks that no window touches, not even by a user turn in the same words (task
        # 40 opens like 43): no answer of an RL or held-out window is ever a target. Examples may come from any
        # other task of the training half; they are context, and never show the calls that the window asks for.
        reserved = set(listed["tasksKeptOutOfDemonstrations"]) | {w.task_number for w in self._windows.values()}
        asked = {text for window, task in self.windows() for text in task.user_turns[: window.last_turn + 1]}
        self._warm_start_tasks = {
            n: self._tasks[n] for n in TRAIN_HALF if n not in reserved and asked.isdisjoint(self._tasks[n].user_turns)
        }
        self._layout = PromptLayout(example_pool({n: self._tasks[n] for n in TRAIN_HALF}))
        self._openings = {window.id: self._open(window) for window in self._windows.values()}
        self._demonstrations = [d for n in self._warm_start_tasks if (d := self._demonstration(n)) is not None]

    def list_tasks(self, split: str, task_set: str | None) -> list[dict[str, Any]]:
        chosen = task_set or DEFAULT_TASK_SET
        if chosen not in self._task_sets:
            raise ValueError(f"taskSet: {chosen!r} is unknown, expected one of {sorted(self._task_sets)}")
        windows = [self._windows[window_id] for window_id in self._task_sets[chosen][split]]
        return [{"id": window.id, "split": window.split, "turns": window.turns} for window in windows]

    def open(self, task_id: str, seed: int) -> WindowEpisode:
        """The seed changes nothing: every simulator carries its own in the official scenario."""
        window = self._windows.get(task_id)
        if window is None:
            raise UnknownTask(
                f"{self.name} has no window {task_id!r}; it has e.g. {', '.join(list(self._windows)[:3])}"
            )
        messages, offered = self._openings[task_id]
        return WindowEpisode(self._tasks[window.task_number], window, messages, offered)

    def demonstrations(self) -> list[dict[str, Any]]:
        return self._demonstrations

    def windows(self) -> list[tuple[Window, BfclTask]]:
        return [(window, self._tasks[window.task_number]) for window in self._windows.values()]

    def _window(self, window_id: str, split: str) -> Window:
        numbers, plays_on = window_id.removesuffix(":on"), window_id.endswith(":on")
        number, first_turn, *turns = map(int, numbers.split(":"))
        window = Window(window_id, split, number, first_turn, turns[0] if turns else DEFAULT_TURNS, plays_on)
        if window.last_turn >= len(self._tasks[number].user_turns) or (number in TRAIN_HALF) != (split == "train"):
            raise ValueError(f"bfcl_windows.json: window {window_id} is not inside a {split} task of multi_turn_base")
        return window

    def _open(self, window: Window) -> tuple[list[Message], frozenset[str]]:
        task = self._tasks[window.task_number]
        turns = range(window.last_turn + 1)
        opening, offered = self._layout.opening(window.id, window.task_number, task, turns)
        return opening + conversation(task, window.first_turn, then_ask=True), offered

    def _demonstration(self, number: int) -> dict[str, Any] | None:
        """The longest leading stretch of ground-truth turns that fits; None if not even one turn does."""
        task = self._tasks[number]
        longest = 0
        while longest < len(task.user_turns) and 1 <= len(task.ground_truth[longest]) <= MAX_DEMONSTRATED_CALLS:
            longest += 1
        for turns in range(longest, 0, -1):
            opening, _ = self._layout.opening(f"{number}:0:{turns}", number, task, range(turns))
            messages = opening + conversation(task, turns)
            if estimate_conversation_tokens(messages) <= MAX_DEMONSTRATION_TOKENS:
                return {"taskId": f"{number}:0:{turns}", "messages": messages, "firstTarget": len(opening) + 1}
        return None


class WindowEpisode:
    """One window being played: the model's simulators, the official check, and which turns passed."""

    def __init__(self, task: BfclTask, window: Window, opening: list[Message], offered: frozenset[str]) -> None:
        self._task = task
        self._window = window
        self._opening = opening
        self._offered = offered
        self._simulators = Simulators(task)
        self._check = OfficialTurnCheck(task)
        self._passed: list[bool] = []
        for turn in range(window.first_turn):
            results = [self._simulators.execute(call) for call in task.ground_truth[turn]]
            self._check.turn_passed(turn, self._simulators, len(results), results)

    def start(self) -> tuple[list[Message], bool]:
        return self._opening, False

    def step(self, action: dict[str, Any]) -> tuple[list[Message], bool]:
        turn = self._window.first_turn + len(self._passed)
        entries = resolve(action, self._offered, MAX_CALLS)
        executed = sum(isinstance(entry, Call) for entry in entries)
        results = [self._simulators.execute(entry) if isinstance(entry, Call) else entry for entry in entries]
        # Refused calls are no calls to the check: the verdict is the official one on what was executed.
        self._passed.append(self._check.turn_passed(turn, self._simulators, executed, results))
        failed = not self._passed[-1] and not self._window.plays_on
        if failed or turn == self._window.last_turn:
            return [{"role": "user", "content": result_lines(results)}], True
        return [_next_user(self._task, turn + 1, results)], False

    def verdict(self) -> dict[str, Any]:
        passed = [*self._passed, False].index(False)  # turns before the first failed one
        return {
            "score": passed / self._window.turns,
            "success": passed == self._window.turns,
            "turnsPassed": list(self._passed),
        }

    def close(self) -> None:
        pass


def conversation(task: BfclTask, turns: int, then_ask: bool = False) -> list[Message]:
    """User and ground-truth messages of the first turns, with the real results in between; then the next user turn."""
    simulators = Simulators(task)
    messages: list[Message] = []
    results: list[str] = []
    for turn in range(turns):
        messages += [_next_user(task, turn, results), {"role": "assistant", "content": answer(task, turn)}]
        results = [simulators.execute(call) for call in task.ground_truth[turn]]
    if then_ask:
        messages.append(_next_user(task, turns, results))
    return messages


def _next_user(task: BfclTask, turn: int, results: list[str] | None = None) -> Message:
    lines = [result_lines(results)] if results else []
    return {"role": "user", "content": "\n".join([*lines, task.user_turns[turn]])}
