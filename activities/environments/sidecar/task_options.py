"""Options that a task id carries behind its `?`, so that an id says all that decides an episode."""

from __future__ import annotations

from collections.abc import Mapping


def task_options(written: str, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """`a=1&b=2` as a dictionary, with the first value of each option that is left out.

    @param known  the values of each option, its default first
    @raises ValueError for an option or a value that there is not
    """
    options = {key: values[0] for key, values in known.items()}
    for pair in filter(None, written.split("&")):
        key, _, value = pair.partition("=")
        if value not in known.get(key, ()):
            raise ValueError(
                f"option {pair[:60]!r} is unknown, "
                f"expected {', '.join(f'{k}={chr(124).join(v)}' for k, v in known.items())}"
            )
        options[key] = value
    return options
