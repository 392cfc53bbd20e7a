"""BFCL v4 multi-turn: its data, its simulators and its checks, without its global cache and without eval.

The official `execute_multi_turn_func_call` keeps instances in module globals under a name made of model
and task, so that two rollouts of one task share a state, and it executes text with `eval`. Here every
`Simulators` owns its instances, and a call is a method looked up among the public methods plus argument
values that came from JSON. The result strings are byte for byte the official ones, and the checks are
the official functions (`state_checker`, `response_checker`); `self_check.py` proves both on all tasks.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import bfcl_eval
from bfcl_eval.constants.executable_backend_config import (
    CLASS_FILE_PATH_MAPPING,
    MULTI_TURN_FUNC_DOC_FILE_MAPPING,
    STATELESS_CLASSES,
)
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import response_checker, state_checker
from bfcl_limits import refusal

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")


@dataclass(frozen=True)
class Call:
    """A validated call: a name and JSON values, nothing that could be code."""

    name: str
    positional: tuple[Any, ...] = ()
    keyword: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BfclTask:
    """One task of a category, as the package ships it, with its ground truth parsed once."""

    id: str
    user_turns: tuple[str, ...]
    ground_truth: tuple[tuple[Call, ...], ...]
    ground_truth_text: tuple[tuple[str, ...], ...]
    entry: dict[str, Any]

    @property
    def involved_classes(self) -> list[str]:
        return self.entry["involved_classes"]

    @property
    def excluded_functions(self) -> list[str]:
        return self.entry.get("excluded_function", [])

    @property
    def long_context(self) -> bool:
        return "long_context" in self.id or "composite" in self.id


def load_tasks(category: str) -> list[BfclTask]:
    """The category's tasks in file order, read straight from the installed package's data folder.

    `bfcl_eval.utils.load_dataset_entry` reads the same lines, but importing it creates folders and lock
    files. It adds the function docs; those are in `function_docs`.
    """
    data = Path(str(bfcl_eval.__file__)).parent / "data"
    entries = _read_lines(data / f"BFCL_v4_{category}.json")
    truths = _read_lines(data / "possible_answer" / f"BFCL_v4_{category}.json")
    truth_by_id = {truth["id"]: truth["ground_truth"] for truth in truths}
    return [
        BfclTask(
            id=entry["id"],
            user_turns=tuple(turn[0]["content"] if turn else "" for turn in entry["question"]),
            ground_truth=tuple(tuple(map(parse_ground_truth, turn)) for turn in truth_by_id[entry["id"]]),
            ground_truth_text=tuple(map(tuple, truth_by_id[entry["id"]])),
            entry=entry,
        )
        for entry in entries
    ]


@cache
def function_docs(class_name: str) -> dict[str, dict[str, Any]]:
    """Name -> official documentation of a class's functions, in the official order."""
    data = Path(str(bfcl_eval.__file__)).parent / "data" / "multi_turn_func_doc"
    return {doc["name"]: doc for doc in _read_lines(data / MULTI_TURN_FUNC_DOC_FILE_MAPPING[class_name])}


def load_simulators() -> None:
    """Imports every simulator and its documentation now: later the process may have no right to read files."""
    for class_name in {name for task in load_tasks("multi_turn_base") for name in task.involved_classes}:
        simulator_class(class_name)
        function_docs(class_name)
    datetime.strptime("2000", "%Y")  # imports its parser at the first use


@cache
def simulator_class(class_name: str) -> type:
    return getattr(importlib.import_module(CLASS_FILE_PATH_MAPPING[class_name]), class_name)


@cache
def parameters(class_name: str, function: str) -> tuple[tuple[str, bool], ...]:
    """(name, required) of a function's parameters in the method's own order, which positional arguments follow."""
    signature = inspect.signature(getattr(simulator_class(class_name), function))
    return tuple(
        (p.name, p.default is inspect.Parameter.empty) for p in signature.parameters.values() if p.name != "self"
    )


def parse_ground_truth(text: str) -> Call:
    """`f(1, b='x')` as a Call; the official answers hold literals only, and `literal_eval` takes nothing else."""
    node = ast.parse(text, mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"ground truth {text!r} is no plain call: is this the pinned bfcl_eval version?")
    return Call(
        node.func.id,
        tuple(ast.literal_eval(value) for value in node.args),
        {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords},
    )


class Simulators:
    """The simulators of one task, owned: nothing else holds a reference to them."""

    def __init__(self, task: BfclTask) -> None:
        self.instances: dict[str, Any] = {}
        self._methods: dict[str, tuple[str, Callable[..., Any]]] = {}
        for class_name in task.involved_classes:
            instance = simulator_class(class_name)()
            if class_name not in STATELESS_CLASSES:
                scenario = copy.deepcopy(task.entry["initial_config"].get(class_name, {}))
                instance._load_scenario(scenario, long_context=task.long_context)
            self.instances[class_name] = instance
            for name in _public_methods(class_name):
                self._methods[name] = (class_name, getattr(instance, name))

    def execute(self, call: Call) -> str:
        """The call's result as the official executor words it; an exception inside the simulator is a result."""
        found = self._methods.get(call.name)
        if found is None:
            return f"Error during execution: name '{call.name}' is not defined"
        class_name, method = found
        refused = refusal(class_name, call.name, call.positional, call.keyword)
        if refused is not None:
            return f"Error during execution: {refused}"
        try:
            # Copied: a simulator may keep an argument and change it later.
            return _result_text(method(*copy.deepcopy(call.positional), **copy.deepcopy(call.keyword)))
        except Exception as error:  # noqa: BLE001 - the official executor does the same, and its text is the observation
            return f"Error during execution: {error}"


class OfficialTurnCheck:
    """The official multi-turn checker, one turn at a time, on instances of our own.

    `multi_turn_checker` replays all turns from the start through eval and the global cache. Its verdict per
    turn is: (a) some call was made, (b) `state_checker` on all instances, (c) `response_checker` of this
    turn's ground-truth results against all model results so far. Turns without ground truth are not checked.
    """

    def __init__(self, task: BfclTask) -> None:
        self._task = task
        self._ground_truth = Simulators(task)
        self._results: list[str] = []

    def fork(self) -> OfficialTurnCheck:
        """A check that goes on from here and leaves this one as it is."""
        forked = copy.copy(self)
        forked._ground_truth = copy.deepcopy(self._ground_truth)
        forked._results = list(self._results)
        return forked

    def turn_passed(self, turn: int, model: Simulators, calls_made: int, results: list[str]) -> bool:
        """Whether user turn `turn` (from 0, each once, in order) is valid; `results` are this turn's."""
        truth = [self._ground_truth.execute(call) for call in self._task.ground_truth[turn]]
        self._results.extend(results)
        if not self._task.ground_truth[turn]:
            return True
        if calls_made == 0:
            return False
        return (
            state_checker(model.instances, self._ground_truth.instances)["valid"]
            and response_checker(self._results, truth, turn)["valid"]
        )


@cache
def _public_methods(class_name: str) -> tuple[str, ...]:
    members = inspect.getmembers(simulator_class(class_name), predicate=inspect.isfunction)
    return tuple(name for name, _ in members if not name.startswith("_"))


def _result_text(result: Any) -> str:
    if type(result) is str:
        return result
    if type(result) is dict:
        try:
            return json.dumps(result)
        except Exception:  # noqa: BLE001 - as official: some results hold objects that are no JSON
            return str(result)
    return str(result)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
