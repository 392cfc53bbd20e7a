"""From an Action to calls that may be executed: everything else becomes a text that says what was wrong.

Nothing the model wrote is ever evaluated. A name is looked up among the offered functions, arguments are
JSON values; whether they fit the function's parameters is decided by Python's own call protocol, before
the function's first line runs.
"""

from __future__ import annotations

import math
import re
from typing import Any

from bfcl_simulators import Call

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}\Z")
_FLOAT = re.compile(r"[+-]?(?=[0-9]*[.eE])([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,40})?\Z")
"""With a point or an exponent: a longer integer is none that may turn into a float."""


class BadArgument(ValueError):
    """An argument is no value; the message is shown to the model."""


def resolve(action: dict[str, Any], offered: frozenset[str], max_calls: int) -> list[Call | str]:
    """One entry per result line: a call to execute, or the text that stands in for its result.

    @param action     {"content", "calls"}, already of the protocol's form
    @param offered    functions that the prompt names; no other is ever executed
    @param max_calls  well-formed calls beyond these are not executed
    """
    entries: list[Call | str] = []
    well_formed = 0
    for written in action["calls"]:
        if "malformed" in written:
            entries.append(f"Error: {written['malformed']}")
            continue
        well_formed += 1
        if well_formed <= max_calls:
            entries.append(_call(written, offered))
    if well_formed > max_calls:
        entries.append(f"Error: {well_formed} calls in one response, only the first {max_calls} were executed")
    return entries or ["Error: no call found, expected a line such as CALL ls()"]


def executable(written: dict[str, Any]) -> bool:
    """Whether the official executor, which reads calls as Python text, would see a call here; also one to a function
    that there is not.
    """
    return "malformed" not in written and all(map(_IDENTIFIER.match, [written["name"], *written["keyword"]]))


def _call(written: dict[str, Any], offered: frozenset[str]) -> Call | str:
    name = written["name"]
    if name not in offered:
        return f"Error: {name[:40]!r} is not a tool, the tools are {', '.join(sorted(offered))}"
    for key in written["keyword"]:
        if not _IDENTIFIER.match(key):
            return f"Error: {name}: {key[:40]!r} is no argument name"
    try:
        return Call(
            name,
            tuple(_value(value) for value in written["positional"]),
            {key: _value(value) for key, value in written["keyword"].items()},
        )
    except BadArgument as error:
        return f"Error: {name}: {error}"


def _value(value: Any) -> Any:
    """A JSON value, with {"$number": "5.0"} turned into the number that JavaScript's JSON cannot carry."""
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$number"}:
        return _number(value["$number"])
    return {key: _value(item) for key, item in value.items()}


def _number(text: Any) -> int | float:
    if isinstance(text, str) and _INTEGER.match(text):
        return int(text)
    if isinstance(text, str) and _FLOAT.match(text) and math.isfinite(float(text)):
        return float(text)
    raise BadArgument(f"{str(text)[:40]!r} is no number")
