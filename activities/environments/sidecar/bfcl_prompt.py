"""Prompt layout of the quickstart's BFCL windows: signatures, two worked examples, history, user turn.

<system>     Tools: / ls(a?) / cd(folder) / ... / Answer with CALL lines only.
<user>       a turn of another task              <assistant> CALL cd('plans')
<user>       a turn of another task              <assistant> CALL touch('list.txt')
<user>       this task's turn                    <assistant> (sampled)
<user>       Result: {...} + newline + next user turn
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bfcl_simulators import BfclTask, Call, function_docs, parameters

MAX_RESULT_CHARACTERS = 100
MAX_EXAMPLE_TOKENS = 60
EXAMPLES = 2
DISTRACTORS = 2

Message = dict[str, str]

_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\sA-Za-z]")


def estimate_tokens(text: str) -> int:
    """Tokens of SmolLM2's vocabulary, estimated: the sidecar has no tokenizer.

    One token per 9 letters begun of a word or camelCase hump, one per digit or punctuation character.
    Against the real tokenizer on all of multi_turn_base: user turns 1.02, answers 0.99, signatures 0.99 of
    the true sum. Whoever has the tokenizer cuts exactly afterwards.
    """
    return sum(-(-len(piece) // 9) for piece in _PIECE.findall(text))


TOKENS_PER_MESSAGE = 5
"""<|im_start|>, role, newline, <|im_end|>, newline."""


def estimate_conversation_tokens(messages: Iterable[Message]) -> int:
    return sum(TOKENS_PER_MESSAGE + estimate_tokens(message["content"]) for message in messages)


@dataclass(frozen=True)
class Example:
    """One ground-truth turn of a training task that may be shown as a worked example."""

    task_number: int
    turn: int
    user: str
    calls: tuple[Call, ...]
    answer: str

    @cached_property
    def functions(self) -> frozenset[str]:
        return frozenset(call.name for call in self.calls)

    @cached_property
    def quotes_its_arguments(self) -> bool:
        """Every string argument occurs in the user's text: the example can be understood by itself."""
        texts = [
            text
            for call in self.calls
            for value in (*call.positional, *call.keyword.values())
            for text in _texts(value)
        ]
        return all(text in self.user for text in texts)

    @property
    def call_texts(self) -> frozenset[str]:
        return frozenset(self.answer.split("\n"))


class PromptLayout:
    """Builds the fixed part of a prompt; all choices are functions of the data and of the window's id."""

    def __init__(self, example_pool: Sequence[Example]) -> None:
        self._pool = example_pool

    def opening(
        self, window_id: str, task_number: int, task: BfclTask, turns: range
    ) -> tuple[list[Message], frozenset[str]]:
        """System message and examples for a window that needs these turns' functions; and the offered names."""
        used = sorted({call.name for turn in turns for call in task.ground_truth[turn]})
        owner = {name: class_name for class_name in task.involved_classes for name in function_docs(class_name)}
        # A string seed is hashed with SHA-512 by random.Random: the same in every process.
        chance = random.Random(f"bfcl-windows {window_id}")
        others = sorted(set(owner) - set(used) - set(task.excluded_functions))
        offered = used + chance.sample(others, DISTRACTORS)
        chance.shuffle(offered)
        system = "\n".join(
            ["Tools:", *(signature(owner[name], name) for name in offered), "Answer with CALL lines only."]
        )
        own_calls = {answer_line(task, call) for turn in turns for call in task.ground_truth[turn]}
        messages = [{"role": "system", "content": system}]
        for example in self._examples(task_number, frozenset(offered), frozenset(used), own_calls):
            messages += [{"role": "user", "content": example.user}, {"role": "assistant", "content": example.answer}]
        return messages, frozenset(offered)

    def _examples(
        self, task_number: int, offered: frozenset[str], used: frozenset[str], own_calls: set[str]
    ) -> list[Example]:
        """Greedy: cover used functions first, then self-explaining examples, then short ones."""
        pool = [
            example
            for example in self._pool
            if example.task_number != task_number
            and example.functions <= offered
            and not example.call_texts & own_calls
        ]
        chosen: list[Example] = []
        covered: set[str] = set()
        while pool and len(chosen) < EXAMPLES:
            best = min(
                pool,
                key=lambda example: (
                    not (example.functions & used) - covered,
                    not example.quotes_its_arguments,
                    len(example.user) + len(example.answer),
                    example.task_number,
                    example.turn,
                ),
            )
            chosen.append(best)
            covered |= best.functions
            pool = [example for example in pool if not example.call_texts & best.call_texts]
        return chosen


def example_pool(tasks: dict[int, BfclTask]) -> list[Example]:
    """Turns with one or two calls and a short text, of the given tasks."""
    return [
        Example(number, turn, user, task.ground_truth[turn], answer(task, turn))
        for number, task in tasks.items()
        for turn, user in enumerate(task.user_turns)
        if 1 <= len(task.ground_truth[turn]) <= 2 and estimate_tokens(user) <= MAX_EXAMPLE_TOKENS
    ]


def signature(class_name: str, function: str) -> str:
    """`ls(a?)`: parameter names in the order positional arguments take, optional ones marked."""
    names = [name if required else name + "?" for name, required in parameters(class_name, function)]
    return f"{function}({', '.join(names)})"


def answer(task: BfclTask, turn: int) -> str:
    """The ground truth of a turn as the policy should write it."""
    return "\n".join(answer_line(task, call) for call in task.ground_truth[turn])


def answer_line(task: BfclTask, call: Call) -> str:
    """`CALL f('a', 1)`: positional Python literals, keywords only behind an omitted optional parameter."""
    class_name = next(name for name in task.involved_classes if call.name in function_docs(name))
    written = [repr(value) for value in call.positional]
    rest = dict(call.keyword)
    names = [name for name, _ in parameters(class_name, call.name)]
    for name in names[len(written) :]:
        if name not in rest:
            break
        written.append(repr(rest.pop(name)))
    written += [f"{name}={rest[name]!r}" for name in names if name in rest]
    return f"CALL {call.name}({', '.join(written)})"


def result_lines(results: Sequence[str]) -> str:
    """One `Result: ...` line per call, each result cut."""
    return "\n".join(f"Result: {result[:MAX_RESULT_CHARACTERS]}" for result in results)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return []
