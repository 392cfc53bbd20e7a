"""`bfcl`: BFCL v4 multi-turn as it is, all four categories: official data, simulators, checks and limits.

A response with calls is a step: they are executed and their results follow. A response without a call ends the user
turn. More than MAX_STEPS steps in a turn end the episode, which fails unless it was the last turn. Held-out functions
are revealed at their turn with the official words.

Task ids are the official ones; options follow behind a `?`, so that an id says all that decides an episode:
`multi_turn_base_0?prompt=authors&docs=compact&reward=prefix&irrelevance=on`. A task set is a category, `authors`
(base) or `all`, with the same options.

- prompt=official-fc: the function-calling form of Qwen as the official handler writes it, results as tool messages.
  Departures in what is read out of a response are those of activities/rollout/notations/bfcl-fc.ts (a malformed call is
  answered with what was wrong instead of ending the turn, among others); new functions are appended rather than put
  into the system message, so that a conversation only grows. None changes what the official checker says of a
  transcript.
- prompt=authors: as the code of the paper's authors wraps it: compact documents, one user message with all results,
  malformed calls dropped, no limit of steps. Their cut of long results is the rollout's (`maxObservationTokens`).
"""

from __future__ import annotations

import json
import re
from typing import Any

from adapter import Message, UnknownTask
from bfcl_actions import executable, resolve
from bfcl_simulators import CATEGORIES, BfclTask, Call, OfficialTurnCheck, Simulators, function_docs, load_tasks
from task_options import task_options

MAX_STEPS = 20
MAX_CALLS = 64
MORE_FUNCTIONS = "I have updated some more functions you can choose from. What about now?"
COMPLETED = "[CONVERSATION_COMPLETED]"
OPTIONS = {
    "prompt": ("official-fc", "authors"),
    "docs": ("full", "no-response", "compact"),
    "reward": ("sparse", "prefix"),
    "irrelevance": ("off", "on"),
}
TASK_SETS = {
    "authors": CATEGORIES[:1],
    "all": CATEGORIES,
    **{category.removeprefix("multi_turn_"): (category,) for category in CATEGORIES},
}
_TAG = re.compile(r"</?(?:tool_call|tool_response|think)>|<\|")
LATEST_TOOLS = "When tools are listed more than once, only the latest list holds."
CALL_FORM = (
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


class Bfcl:
    """The adapter. The first half of a category trains, as in the authors' split of base."""

    name = "bfcl"
    concurrent = False

    def __init__(self) -> None:
        self._tasks = {task.id: task for category in CATEGORIES for task in load_tasks(category)}

    def list_tasks(self, split: str, task_set: str | None) -> list[dict[str, Any]]:
        chosen, _, written = (task_set or "authors").partition("?")
        if chosen not in TASK_SETS:
            raise ValueError(f"taskSet: {chosen!r} is unknown, expected one of {sorted(TASK_SETS)}")
        task_options(written, OPTIONS)
        numbers = range(100) if split == "train" else range(100, 200)
        suffix = f"?{written}" if written else ""
        return [
            {"id": task.id + suffix, "split": split, "turns": len(task.user_turns), "category": category}
            for category in TASK_SETS[chosen]
            for task in (self._tasks[f"{category}_{number}"] for number in numbers)
        ]

    def open(self, task_id: str, seed: int) -> BfclEpisode:
        """The seed changes nothing: every simulator carries its own in the official scenario."""
        official_id, _, written = task_id.partition("?")
        task = self._tasks.get(official_id)
        if task is None:
            raise UnknownTask(f"bfcl has no task {official_id[:60]!r}; it has e.g. multi_turn_base_0")
        try:
            return BfclEpisode(task, task_options(written, OPTIONS))
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
        self._docs = {
            name: doc for class_name in task.involved_classes for name, doc in function_docs(class_name).items()
        }
        self._held_out = {int(turn): names for turn, names in task.entry.get("missed_function", {}).items()}
        self._steps = 0
        self._calls = 0
        self._results: list[str] = []
        self._responses = 0  # in the turn under way, as the three above
        self._passed: list[bool] = []
        self._irrelevant_call = False
        self._ended = False

    def start(self) -> tuple[list[Message], bool]:
        withheld = {name for names in self._held_out.values() for name in names}
        docs = [self._doc(doc) for name, doc in self._docs.items() if name not in withheld]
        return [{"role": "system", "content": self._system(docs)}, self._user(0)], False

    def step(self, action: dict[str, Any]) -> tuple[list[Message], bool]:
        calls = action["calls"]
        if self._options["prompt"] == "authors":
            calls = [call for call in calls if "malformed" not in call]
        self._responses += 1
        if not calls:
            return self._end_turn()
        # As official: whoever guesses a function that is not offered yet has it executed.
        entries = resolve({"calls": calls}, frozenset(self._docs), MAX_CALLS)
        results = [self._simulators.execute(entry) if isinstance(entry, Call) else entry for entry in entries]
        self._calls += sum(map(executable, calls))
        self._results += [result for entry, result in zip(entries, results) if isinstance(entry, Call)]
        if self._options["prompt"] == "authors":
            return [_authors_message(list(map(_authors_result, range(len(results)), calls, results)))], False
        self._steps += 1
        self._ended = self._steps > MAX_STEPS
        return [{"role": "tool", "content": result} for result in results], self._ended

    def verdict(self) -> dict[str, Any]:
        """Official: there is a result for every turn and each is valid.

        The last turn needs no closing reply: an episode that is cut there is judged by what it has called so far.
        """
        turns = len(self._task.user_turns)
        passed, irrelevant = list(self._passed), self._irrelevant_call
        if len(passed) == turns - 1 and self._responses > 0:
            valid, of_last = self._judge(self._check.fork())
            passed.append(valid)
            irrelevant = irrelevant or of_last
        prefix = next((n for n, valid in enumerate(passed) if not valid), len(passed))
        success = prefix == turns and not (irrelevant and self._options["irrelevance"] == "on")
        dense = self._options["reward"] == "prefix"
        score = 1.0 if success else min(prefix, turns - 1) / turns if dense else 0.0
        return {"score": score, "success": success, "turnsPassed": passed}

    def close(self) -> None:
        pass

    def _judge(self, check: OfficialTurnCheck) -> tuple[bool, bool]:
        """Is the turn under way valid, and did it call where nothing was to be called?"""
        turn = len(self._passed)
        valid = check.turn_passed(turn, self._simulators, self._calls, self._results)
        irrelevant = bool(self._calls) and not self._task.ground_truth[turn]
        return valid and not (irrelevant and self._options["irrelevance"] == "on"), irrelevant

    def _end_turn(self) -> tuple[list[Message], bool]:
        valid, irrelevant = self._judge(self._check)
        self._passed.append(valid)
        self._irrelevant_call = self._irrelevant_call or irrelevant
        self._steps, self._calls, self._results, self._responses = 0, 0, [], 0
        turn = len(self._passed)
        self._ended = turn == len(self._task.user_turns)
        if self._ended:
            return ([{"role": "user", "content": COMPLETED}] if self._options["prompt"] == "authors" else []), True
        return [self._user(turn)], False

    def _system(self, docs: list[str]) -> str:
        head = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        tools = (
            "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
            + "\n".join(docs)
            + "\n</tools>"
        )
        latest = f"\n\n{LATEST_TOOLS}" if self._options["prompt"] == "authors" else ""
        return f"{head}{tools}{latest}\n\n{CALL_FORM}"

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
        separators = (",", ":") if self._options["prompt"] == "authors" else None
        return json.dumps(doc, separators=separators)


def _authors_result(index: int, call: dict[str, Any], result: str) -> str:
    """One result as the authors' prompt has it between tags of a call: under the function's name and its place."""
    return json.dumps({"name": f"{call['name']}_{index}", "content": result})


def _authors_message(results: list[str]) -> Message:
    """All results in one message; those that spell a tag are text there (`verbatim` of the protocol)."""
    content, verbatim = "", []
    for result in results:
        content += "\n<tool_call>\n" if content else "<tool_call>\n"
        if _TAG.search(result):
            verbatim.append([len(content), len(content) + len(result)])  # ASCII: characters are UTF-16 units
        content += f"{result}\n</tool_call>"
    return {"role": "user", "content": content} | ({"verbatim": verbatim} if verbatim else {})
