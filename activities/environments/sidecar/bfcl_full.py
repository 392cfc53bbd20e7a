"""`bfcl`: BFCL v4 multi-turn as it is, all four categories: official data, simulators, checks and limits.

A response with calls is a step: they are executed and their results follow as tool messages. A response without
a call ends the user turn. More than MAX_STEPS steps in a turn end the episode, which then fails. Held-out functions
are revealed at their turn with the official words. Unlike the official loop, a malformed call is answered with what
was wrong instead of ending the turn, and new functions are appended rather than put into the system message, so
that a conversation only grows; neither changes what the official checker says of a transcript.

Task ids are the official ones; options follow behind a `?`, so that an id says all that decides an episode:
`multi_turn_base_0?docs=compact&reward=prefix&irrelevance=on`. A task set is a category or `authors` (base), with
the same options.
"""

from __future__ import annotations

import json
from typing import Any

from adapter import Message, UnknownTask
from bfcl_actions import resolve
from bfcl_simulators import CATEGORIES, BfclTask, Call, OfficialTurnCheck, Simulators, function_docs, load_tasks

MAX_STEPS = 20
MAX_CALLS = 64
MORE_FUNCTIONS = "I have updated some more functions you can choose from. What about now?"
OPTIONS = {"docs": ("full", "no-response", "compact"), "reward": ("sparse", "prefix"), "irrelevance": ("off", "on")}
TASK_SETS = {"authors": CATEGORIES[0], **{category.removeprefix("multi_turn_"): category for category in CATEGORIES}}
CALL_FORM = (
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


class Bfcl:
    """The adapter. The first half of a category trains, as in the authors' split of base."""

    name = "bfcl"

    def __init__(self) -> None:
        self._tasks = {task.id: task for category in CATEGORIES for task in load_tasks(category)}

    def list_tasks(self, split: str, task_set: str | None) -> list[dict[str, Any]]:
        chosen, _, written = (task_set or "authors").partition("?")
        if chosen not in TASK_SETS:
            raise ValueError(f"taskSet: {chosen!r} is unknown, expected one of {sorted(TASK_SETS)}")
        _options(written)
        numbers = range(0, 100) if split == "train" else range(100, 200)
        tasks = [self._tasks[f"{TASK_SETS[chosen]}_{number}"] for number in numbers]
        suffix = f"?{written}" if written else ""
        return [{"id": task.id + suffix, "split": split, "turns": len(task.user_turns)} for task in tasks]

    def open(self, task_id: str, seed: int) -> BfclEpisode:
        """The seed changes nothing: every simulator carries its own in the official scenario."""
        official_id, _, written = task_id.partition("?")
        task = self._tasks.get(official_id)
        if task is None:
            raise UnknownTask(f"bfcl has no task {official_id[:60]!r}; it has e.g. multi_turn_base_0")
        try:
            return BfclEpisode(task, _options(written))
        except ValueError as error:
            raise UnknownTask(str(error)) from None

    def demonstrations(self) -> list[dict[str, Any]]:
        return []


class BfclEpisode:
    def __init__(self, task: BfclTask, options: dict[str, str]) -> None:
        self._task = task
        self._options = options
        self._simulators = Simulators(task)
        self._check = OfficialTurnCheck(task)
        self._docs = {name: doc for class_name in task.involved_classes for name, doc in function_docs(class_name).items()}
        self._held_out = {int(turn): names for turn, names in task.entry.get("missed_function", {}).items()}
        self._steps = 0
        self._calls = 0
        self._results: list[str] = []
        self._passed: list[bool] = []
        self._irrelevant_call = False
        self._ended = False

    def start(self) -> tuple[list[Message], bool]:
        withheld = {name for names in self._held_out.values() for name in names}
        docs = [self._doc(doc) for name, doc in self._docs.items() if name not in withheld]
        head = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        tools = "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" + "\n".join(docs) + "\n</tools>"
        return [{"role": "system", "content": f"{head}{tools}\n\n{CALL_FORM}"}, self._user(0)], False

    def step(self, action: dict[str, Any]) -> tuple[list[Message], bool]:
        if not action["calls"]:
            return self._end_turn()
        # As official: whoever guesses a function that is not offered yet has it executed.
        entries = resolve(action, frozenset(self._docs), MAX_CALLS)
        results = [self._simulators.execute(entry) if isinstance(entry, Call) else entry for entry in entries]
        self._calls += sum("malformed" not in call for call in action["calls"])
        self._results += [result for entry, result in zip(entries, results) if isinstance(entry, Call)]
        self._steps += 1
        if self._steps > MAX_STEPS:
            self._ended = True
        return [{"role": "tool", "content": result} for result in results], self._ended

    def verdict(self) -> dict[str, Any]:
        """Official: every turn was played to its end and is valid. An episode cut in the middle fails."""
        turns = len(self._task.user_turns)
        prefix = next((n for n, passed in enumerate(self._passed) if not passed), len(self._passed))
        success = prefix == turns and not (self._irrelevant_call and self._options["irrelevance"] == "on")
        dense = self._options["reward"] == "prefix"
        score = 1.0 if success else min(prefix, turns - 1) / turns if dense else 0.0
        return {"score": score, "success": success, "turnsPassed": list(self._passed)}

    def _end_turn(self) -> tuple[list[Message], bool]:
        turn = len(self._passed)
        valid = self._check.turn_passed(turn, self._simulators, self._calls, self._results)
        if self._calls and not self._task.ground_truth[turn]:
            self._irrelevant_call = True
            valid = valid and self._options["irrelevance"] == "off"
        self._passed.append(valid)
        self._steps, self._calls, self._results = 0, 0, []
        self._ended = turn + 1 == len(self._task.user_turns)
        return ([], True) if self._ended else ([self._user(turn + 1)], False)

    def _user(self, turn: int) -> Message:
        if turn not in self._held_out:
            return {"role": "user", "content": self._task.user_turns[turn]}
        docs = [self._doc(self._docs[name]) for name in self._held_out[turn] if name in self._docs]
        return {"role": "user", "content": "\n".join([*docs, MORE_FUNCTIONS])}

    def _doc(self, doc: dict[str, Any]) -> str:
        docs = self._options["docs"]
        if docs == "compact":
            properties = doc["parameters"].get("properties", {})
            doc = {"name": doc["name"], "parameters": {name: value.get("type") for name, value in properties.items()}}
        elif docs == "no-response":
            doc = {key: value for key, value in doc.items() if key != "response"}
        return json.dumps(doc)


def _options(written: str) -> dict[str, str]:
    options = {key: values[0] for key, values in OPTIONS.items()}
    for pair in filter(None, written.split("&")):
        key, _, value = pair.partition("=")
        if value not in OPTIONS.get(key, ()):
            raise ValueError(f"option {pair[:60]!r} is unknown, expected {', '.join(f'{k}={chr(124).join(v)}' for k, v in OPTIONS.items())}")
        options[key] = value
    return options
