"""Scripted policies for `bfcl`, and the official checker's word on result files: the two ends of one proof.

    bfcl_transcript_check.py policies           JSON lines {"taskId", "policy", "responses"} on standard output
    bfcl_transcript_check.py verdicts FOLDER    JSON lines {"id", "valid"} for the result files below FOLDER

What lies between, the environment and the export, knows neither. `policies` gives each of the 800 tasks to a random, a
mutated and a junk policy. `verdicts` does to a result file what bfcl_eval's evaluator does: decode every step, leave
out those that are no calls, and call `multi_turn_checker`. It evaluates what the file says as the official executor
does, so give it only files of policies that were scripted here.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
from bfcl_simulators import CATEGORIES, BfclTask, Call, function_docs, load_tasks, parameters
from self_check import forget, mutated

END = "That is all."
JUNK = (
    '<tool_call>\n{"name": "ls", "argum',
    "<tool_call>\n{'name': 'ls', 'arguments': {}}\n</tool_call>",
    "<tool_call>\n[1, 2]\n</tool_call>",
    '<tool_call>\n{"name": "ls", "arguments": [1]}\n</tool_call>',
    '<tool_call>\n{"name": "no_such_function", "arguments": {"x": 1}}\n</tool_call>',
    '<tool_call>\n{"name": "no such function", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "ls", "arguments": {"a b": 1}}\n</tool_call>',
    '<tool_call>\n{"name": "ls", "arguments": {"no_such_argument": null}}\n</tool_call>',
    "<tool_call></tool_call>",
    "",
    "\u0000\u001b[2J\u2028",
    "I would call ls() here.",
)


def policies() -> Iterator[dict[str, Any]]:
    for task in (task for category in CATEGORIES for task in load_tasks(category)):
        for name, turns in (("random", _random), ("mutated", _mutated), ("junk", _junk)):
            chance = random.Random(f"{name}/{task.id}")
            yield {
                "taskId": task.id,
                "policy": name,
                "responses": [text for turn in turns(task, chance) for text in turn],
            }


def _mutated(task: BfclTask, chance: random.Random) -> list[list[str]]:
    """Mutated ground truth; a turn's calls in one response or one by one, and now and then no closing reply at the
    end.
    """
    turns = []
    for calls in mutated(task, chance):
        written = [_spelled(task, call) for call in calls]
        turns.append(
            [
                *(written if chance.random() < 0.5 and len(written) <= 20 else ["\n".join(written)] if written else []),
                END,
            ]
        )
    return turns if chance.random() < 0.7 else [*turns[:-1], turns[-1][:-1] or [END]]


def _random(task: BfclTask, chance: random.Random) -> list[list[str]]:
    """Calls of the task's functions with random arguments, among right ones."""
    docs = [doc for class_name in task.involved_classes for doc in function_docs(class_name).values()]
    right = [_spelled(task, call) for turn in task.ground_truth for call in turn]
    turns = []
    for _ in task.user_turns:
        count = chance.choice((0, 1, 1, 2, 3, 25 if chance.random() < 0.1 else 1))
        turns.append(
            [
                *(
                    chance.choice(right) if chance.random() < 0.3 else _any_call(chance.choice(docs), chance)
                    for _ in range(count)
                ),
                END,
            ]
        )
    return turns


def _junk(task: BfclTask, chance: random.Random) -> list[list[str]]:
    """The ground truth with junk before, between and instead of its responses."""
    turns = []
    for calls in task.ground_truth:
        written = [_spelled(task, call) for call in calls]
        for _ in range(chance.randint(0, 3)):
            written.insert(chance.randint(0, len(written)), chance.choice(JUNK))
        turns.append([*written, END])
    return turns


def _spelled(task: BfclTask, call: Call) -> str:
    """A call with all arguments named, as a model writes it."""
    class_name = next(name for name in task.involved_classes if call.name in function_docs(name))
    names = [name for name, _ in parameters(class_name, call.name)]
    arguments = {**dict(zip(names, call.positional)), **call.keyword}
    return f"<tool_call>\n{json.dumps({'name': call.name, 'arguments': arguments})}\n</tool_call>"


def _any_call(doc: dict[str, Any], chance: random.Random) -> str:
    properties = doc["parameters"].get("properties", {})
    arguments = {
        name: _any_value(value.get("type"), chance) for name, value in properties.items() if chance.random() < 0.9
    }
    return f"<tool_call>\n{json.dumps({'name': doc['name'], 'arguments': arguments})}\n</tool_call>"


def _any_value(kind: Any, chance: random.Random) -> Any:
    values = {
        "integer": lambda: chance.randint(-3, 30),
        "float": lambda: chance.choice((0.5, 1.0, -2.25, 1e-7, 12345.678)),
        "boolean": lambda: chance.random() < 0.5,
        "array": lambda: [chance.randint(0, 9) for _ in range(chance.randint(0, 3))],
        "dict": lambda: {"a": 1.0, "b": None, "c": ["x"]},
    }
    of_kind = values.get(str(kind))
    if of_kind is None or chance.random() < 0.1:
        return chance.choice(("", "a.txt", "workspace", "NVDA", 'it\'s "quoted"\n', "ünï😀", None, 7, 7.0))
    return of_kind()


def verdicts(folder: Path) -> Iterator[dict[str, Any]]:
    tasks = {task.id: task for category in CATEGORIES for task in load_tasks(category)}
    for file in sorted(folder.rglob("BFCL_v4_*_result.json")):
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n")[:-1]):
            entry = json.loads(line)
            name = f"transcript_{file.stem}_{number}"
            yield {
                "folder": file.parts[len(folder.parts)],
                "id": entry["id"],
                "valid": _official_verdict(tasks[entry["id"]], entry["result"], name),
            }


def _official_verdict(task: BfclTask, result: list[list[Any]], name: str) -> bool:
    """As bfcl_eval's evaluation of one multi-turn entry."""
    if len(result) != len(task.ground_truth):
        return False
    decoded = [[calls for calls in map(_decoded, turn) if calls] for turn in result]
    try:
        truth = [list(turn) for turn in task.ground_truth_text]
        return bool(multi_turn_checker(decoded, truth, task.entry, task.id.rsplit("_", 1)[0], name)["valid"])
    finally:
        forget(name)


def _decoded(step: Any) -> list[str]:
    """As `convert_to_function_call` of bfcl_eval, whose module needs parsers of other languages; text is no call."""
    if isinstance(step, str):
        return []
    return [
        f"{name}({','.join(f'{k}={v!r}' for k, v in json.loads(text).items())})"
        for call in step
        for name, text in call.items()
    ]


if __name__ == "__main__":
    lines = policies() if sys.argv[1] == "policies" else verdicts(Path(sys.argv[2]))
    for one in lines:
        print(json.dumps(one))
