"""Proves the executor and the checks against the official ones; prints one JSON object.

    .runtime/venvs/bfcl/bin/python activities/environments/sidecar/self_check.py

- every ground-truth call of all 800 multi-turn tasks: our result text equals the official executor's
- ground truth valid, empty policy invalid, mutated policies judged equally: by our turn-wise check and by
  the official `multi_turn_checker`, which gets a fresh identifier per check and leaves nothing behind
- calls that would stall the process (`bfcl_limits.py`) are answered at once
- windows: ground truth 1, wrong first turn 0, right turns then a wrong one the passed share
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
from bfcl_simulators import CATEGORIES, BfclTask, Call, OfficialTurnCheck, Simulators, load_tasks
from bfcl_windows import BfclWindows

Turns = list[list[Call]]


def official_text(call: Call) -> str:
    """A call as the official executor evaluates it. Only for calls that came from the official data."""
    arguments = [repr(value) for value in call.positional] + [f"{key}={value!r}" for key, value in call.keyword.items()]
    return f"{call.name}({', '.join(arguments)})"


class Official:
    """The official executor and checker under names used once, whose instances are deleted afterwards."""

    def __init__(self) -> None:
        self._used = 0

    def _fresh_name(self) -> str:
        self._used += 1
        return f"self_check_{self._used}"

    def results(self, task: BfclTask, turns: list[list[str]]) -> list[list[str]]:
        name = self._fresh_name()
        try:
            return [
                multi_turn_utils.execute_multi_turn_func_call(
                    turn, task.entry["initial_config"], task.involved_classes, name, task.id, task.long_context
                )[0]
                for turn in turns
            ]
        finally:
            forget(name)

    def valid(self, task: BfclTask, turns: Turns, prefix: int) -> bool:
        """The verdict on the first `prefix` turns; each turn's calls as one step."""
        name = self._fresh_name()
        texts = [[[official_text(call) for call in turn]] if turn else [] for turn in turns[:prefix]]
        truth = [list(turn) for turn in task.ground_truth_text[:prefix]]
        try:
            return multi_turn_checker(texts, truth, task.entry, task.id.rsplit("_", 1)[0], name)["valid"]
        finally:
            forget(name)


def forget(name: str) -> None:
    for key in [key for key in vars(multi_turn_utils) if key.startswith(name)]:
        delattr(multi_turn_utils, key)


def our_results(task: BfclTask, turns: Turns) -> list[list[str]]:
    simulators = Simulators(task)
    return [[simulators.execute(call) for call in turn] for turn in turns]


def our_valid_turns(task: BfclTask, turns: Turns) -> int:
    """The longest valid prefix of turns by our check."""
    simulators, check = Simulators(task), OfficialTurnCheck(task)
    for turn, calls in enumerate(turns):
        results = [simulators.execute(call) for call in calls]
        if not check.turn_passed(turn, simulators, len(calls), results):
            return turn
    return len(turns)


def mutated(task: BfclTask, chance: random.Random) -> Turns:
    """The ground truth with a few calls dropped, repeated, moved or replaced by another turn's."""
    turns = [list(turn) for turn in task.ground_truth]
    everything = [call for turn in turns for call in turn]
    for _ in range(chance.randint(1, 3)):
        turn = chance.choice(turns)
        kind = chance.choice(("drop", "repeat", "insert", "swap"))
        if kind == "insert":
            turn.insert(chance.randint(0, len(turn)), chance.choice(everything))
        elif turn and kind == "drop":
            turn.pop(chance.randrange(len(turn)))
        elif turn and kind == "repeat":
            turn.append(chance.choice(turn))
        elif turn:
            chance.shuffle(turn)
    return turns


def check_tasks(mutations: int) -> dict[str, Any]:
    official = Official()
    chance = random.Random("self check")
    counts = dict.fromkeys(
        [
            "tasks",
            "calls",
            "textsEqual",
            "groundTruthValid",
            "officialGroundTruthValid",
            "emptyValid",
            "mutations",
            "verdictsEqual",
        ],
        0,
    )
    for task in (task for category in CATEGORIES for task in load_tasks(category)):
        truth = [list(turn) for turn in task.ground_truth]
        theirs = official.results(task, [list(turn) for turn in task.ground_truth_text])
        ours = our_results(task, truth)
        counts["tasks"] += 1
        counts["calls"] += sum(map(len, truth))
        counts["textsEqual"] += sum(a == b for x, y in zip(ours, theirs) for a, b in zip(x, y))
        counts["groundTruthValid"] += our_valid_turns(task, truth) == len(truth)
        counts["officialGroundTruthValid"] += official.valid(task, truth, len(truth))
        counts["emptyValid"] += our_valid_turns(task, [[] for _ in truth]) == len(truth)
        for _ in range(mutations):
            turns = mutated(task, chance)
            counts["mutations"] += 1
            passed = our_valid_turns(task, turns)
            equal = official.valid(task, turns, passed) and (
                passed == len(turns) or not official.valid(task, turns, passed + 1)
            )
            counts["verdictsEqual"] += equal
    counts["globalsLeft"] = sum(key.endswith("_instance") for key in vars(multi_turn_utils))
    return counts


def check_limits(official: Official) -> dict[str, Any]:
    """Calls that would hold the process for minutes return at once; just beyond the limit of power our text is the
    official one.
    """
    task = next(task for task in load_tasks("multi_turn_base") if "MathAPI" in task.involved_classes)
    bombs = [
        Call("power", (9, 10**9)),
        Call("power", (), {"base": -3, "exponent": 10**9}),
        Call("multiply", ("x", 10**10)),
        Call("multiply", (10**10, [1])),
        Call("round_number", (5, -(10**9))),
        Call("logarithm", (2, 3, 10**9)),
        Call("logarithm", (2, 3), {"precision": "1000000000"}),
        Call("logarithm", ("1e999999999", 3, 5)),
        Call("square_root", (2.0, 1e9)),
    ]
    started = time.monotonic()
    answered = sum(
        text.startswith("Error during execution: ") for [text] in our_results(task, [[bomb] for bomb in bombs])
    )
    quick = time.monotonic() - started < 1
    near = [
        Call("power", (9, 6000)),
        Call("power", (-9, 4000)),
        Call("power", (2, -3)),
        Call("power", (2.5, 10**9)),
        Call("square_root", (2, 50)),
    ]
    theirs = official.results(task, [[official_text(call)] for call in near])
    return {
        "bombs": len(bombs),
        "answered": answered if quick else 0,
        "nearLimitTextsEqual": our_results(task, [[call] for call in near]) == theirs,
    }


def action(calls: list[Call]) -> dict[str, Any]:
    written = [{"name": c.name, "positional": list(c.positional), "keyword": c.keyword} for c in calls]
    return {"content": "", "calls": json.loads(json.dumps(written))}


def check_windows() -> dict[str, Any]:
    """Scores of three scripted policies on every window."""
    adapter = BfclWindows()
    counts = dict.fromkeys(["windows", "groundTruthScoresOne", "wrongFirstScoresZero", "wrongLaterScoresPrefix"], 0)
    for window, task in adapter.windows():
        truth = [action(list(task.ground_truth[window.first_turn + turn])) for turn in range(window.turns)]
        junk = action([Call("no_such_tool")])
        # What is right after a wrong turn earns nothing, where there is an after.
        wrong_at = [
            [*truth[:turn], junk, *(truth[turn + 1 :] if window.plays_on else [])] for turn in range(window.turns)
        ]
        counts["windows"] += 1
        counts["groundTruthScoresOne"] += _score(adapter, window.id, truth) == 1
        counts["wrongFirstScoresZero"] += _score(adapter, window.id, wrong_at[0]) == 0
        counts["wrongLaterScoresPrefix"] += all(
            _score(adapter, window.id, wrong_at[right]) == right / window.turns for right in range(1, window.turns)
        )
    return counts


def _score(adapter: BfclWindows, window_id: str, actions: list[dict[str, Any]]) -> float:
    episode = adapter.open(window_id, 0)
    ends = [episode.step(each)[1] for each in actions]
    assert ends == [False] * (len(ends) - 1) + [True], f"window {window_id}: ended at the wrong turn, {ends}"
    return episode.verdict()["score"]


if __name__ == "__main__":
    started = time.monotonic()
    report = {**check_tasks(mutations=2), "windowScores": check_windows(), "limits": check_limits(Official())}
    print(json.dumps({**report, "seconds": round(time.monotonic() - started, 2)}))
