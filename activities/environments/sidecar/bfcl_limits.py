"""Calls that would stall or exhaust the process: the simulators themselves have no limits.

`power(9, 1000000000)` or `multiply('x', 10000000000)` would hold the interpreter for minutes or fill the
memory, inside one C operation that no time-out can interrupt. Such calls get a text instead. Nothing in
the official data comes near these limits; `power` beyond them gets the very text that the official
executor would end with, hours later.
"""

from __future__ import annotations

from typing import Any

MAX_ARGUMENT_CHARACTERS = 10_000
MAX_PRECISION = 1_000
MAX_POWER_BITS = 16_000
"""More than the 4300 digits that Python turns into text (14 285 bits)."""
POWER_TOO_LARGE = (
    "Exceeds the limit (4300 digits) for integer string conversion; "
    "use sys.set_int_max_str_digits() to increase the limit"
)


def refusal(class_name: str, function: str, positional: tuple[Any, ...], keyword: dict[str, Any]) -> str | None:
    """Why the call is not executed, or None. Cheap: runs before every call."""
    arguments = [*positional, *keyword.values()]
    size = _size(arguments) + sum(map(len, keyword))
    if size > MAX_ARGUMENT_CHARACTERS:
        return f"the arguments of {function} hold {size} characters, the limit is {MAX_ARGUMENT_CHARACTERS}"
    if class_name != "MathAPI":
        return None
    integers = [value for value in arguments if type(value) is int]
    if function == "power" and len(integers) == 2:
        base = positional[0] if positional else keyword.get("base", 0)
        exponent = next(iter(positional[1:]), keyword.get("exponent", 0))
        grows = type(base) is int and type(exponent) is int and exponent > 0 and abs(base) > 1
        if grows and base.bit_length() * exponent > MAX_POWER_BITS + exponent:
            return POWER_TOO_LARGE
        return None
    if function in ("logarithm", "square_root", "round_number"):
        # The precision is the last parameter of all three; the numbers themselves may be large.
        precision = keyword.get(
            "precision", keyword.get("decimal_places", positional[-1] if len(positional) > 1 else 0)
        )
        if not _within(precision, MAX_PRECISION):
            return f"the precision of {function} is limited to {MAX_PRECISION}"
        if function == "logarithm" and any(isinstance(value, str) for value in arguments):
            return "the arguments of logarithm must be numbers"  # mpmath would expand '1e999999999'
    if function == "multiply" and integers and any(isinstance(value, (str, list)) for value in arguments):
        return "Both inputs must be numbers"
    return None


def _within(value: Any, limit: int) -> bool:
    """Whether the value, read as a number as the libraries read it, is small; what is no number is theirs to refuse."""
    try:
        return abs(float(value)) <= limit
    except OverflowError:
        return False
    except (TypeError, ValueError):
        return True


def _size(value: Any) -> int:
    """Characters a value would take, roughly; an integer counts its digits."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (list, tuple)):
        return 2 + sum(_size(item) + 1 for item in value)
    if isinstance(value, dict):
        return 2 + sum(len(key) + _size(item) + 2 for key, item in value.items())
    if type(value) is int:
        return value.bit_length() // 3 + 1
    return 8
