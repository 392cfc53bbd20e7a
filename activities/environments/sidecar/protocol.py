"""The wire contract on the sidecar's side: request checks, canonical JSON, hashes, typed errors.

The same contract in zod is `schemas/environment-protocol.ts`; that file is the authority.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

MAX_BODY_BYTES = 1024 * 1024
MAX_MESSAGE_CHARACTERS = 100_000
MAX_CALLS = 64
"""Calls that one action may name; an adapter may execute fewer."""
MAX_DEPTH = 16
"""Nesting of one argument."""

_EPISODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

_STATUS = {
    "bad_request": 400,
    "unknown_task": 404,
    "episode_lost": 404,
    "step_conflict": 409,
    "restore_mismatch": 409,
    "too_many_episodes": 429,
    "internal": 500,
}


# json.dumps makes one of these at every call.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


class ProtocolError(Exception):
    """A reply other than 200: `code` is one of EnvironmentErrorBody's, the message is for a person."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status if status is not None else _STATUS[code]


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces and ASCII only, so that equal values have equal bytes.

    ASCII also lets lone surrogates through, which a model can write as '\\ud800' and UTF-8 cannot hold.
    """
    return _ENCODER.encode(value).encode("ascii")


def parse_body(body: bytes) -> dict[str, Any]:
    """The request's JSON object; anything else is a bad_request that says what is wrong."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    try:
        value = json.loads(body, parse_constant=refuse_constant)
    except RecursionError:
        raise ProtocolError("bad_request", "request body: JSON is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, integers of more than 4300 digits
        raise ProtocolError("bad_request", f"request body: no valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ProtocolError("bad_request", f"request body: expected a JSON object, found {type(value).__name__}")
    return value


def observation(messages: list[dict[str, Any]], done: bool) -> dict[str, Any]:
    """An Observation with its hash; a message beyond the output limit is cut, and says so."""
    limited = [m | {"content": limit_text(m["content"])} for m in messages]
    digest = hashlib.sha256(canonical_json({"done": done, "messages": limited})).hexdigest()
    return {"messages": limited, "done": done, "hash": digest}


def limit_text(text: str, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    return text if len(text) <= limit else f"{text[:limit]} [cut: {len(text) - limit} more characters]"


def only_keys(body: dict[str, Any], required: set[str], optional: frozenset[str] = frozenset()) -> None:
    missing = required - body.keys()
    extra = body.keys() - required - optional
    if missing or extra:
        raise ProtocolError(
            "bad_request",
            f"request: expected the keys {sorted(required)}; missing {sorted(missing)}, not expected {sorted(extra)}",
        )


def text_field(body: dict[str, Any], key: str, limit: int = 256) -> str:
    value = body[key]
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise ProtocolError("bad_request", f"{key}: expected a text of 1 to {limit} characters")
    return value


def integer_field(body: dict[str, Any], key: str, minimum: int) -> int:
    value = body[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ProtocolError("bad_request", f"{key}: expected an integer of at least {minimum}, found {str(value)[:40]}")
    return value


def episode_id(body: dict[str, Any]) -> str:
    value = body["episodeId"]
    if not isinstance(value, str) or not _EPISODE_ID.match(value):
        raise ProtocolError("bad_request", "episodeId: expected 1 to 256 of A-Z a-z 0-9 . _ : / -, e.g. 'run/0/8:0/3'")
    return value


def hashes_field(body: dict[str, Any], key: str) -> list[str]:
    value = body[key]
    if not isinstance(value, list) or not all(isinstance(h, str) and _SHA256.match(h) for h in value):
        raise ProtocolError("bad_request", f"{key}: expected a list of SHA-256 in lower-case hexadecimal")
    return value


def action_value(value: Any, where: str) -> dict[str, Any]:
    """An Action of the protocol's form. What it says may still be nonsense: that is for the episode to answer."""
    if not isinstance(value, dict) or value.keys() != {"content", "calls"} or not isinstance(value["content"], str):
        raise ProtocolError("bad_request", f"{where}: expected {{content: text, calls: [...]}}")
    calls = value["calls"]
    if not isinstance(calls, list) or len(calls) > MAX_CALLS:
        raise ProtocolError("bad_request", f"{where}.calls: expected a list of at most {MAX_CALLS} calls")
    for index, call in enumerate(calls):
        if not (_is_malformed(call) or _is_call(call)):
            raise ProtocolError(
                "bad_request",
                f"{where}.calls[{index}]: expected {{name, positional: [], keyword: {{}}}} or {{malformed: text}}, "
                f"arguments nested at most {MAX_DEPTH} deep",
            )
    return value


def _is_malformed(call: Any) -> bool:
    return isinstance(call, dict) and call.keys() == {"malformed"} and isinstance(call["malformed"], str)


def _is_call(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and call.keys() == {"name", "positional", "keyword"}
        and isinstance(call["name"], str)
        and isinstance(call["positional"], list)
        and isinstance(call["keyword"], dict)
        and not _deeper_than(call["positional"], MAX_DEPTH)
        and not _deeper_than(call["keyword"], MAX_DEPTH)
    )


def _deeper_than(value: Any, limit: int) -> bool:
    if limit < 0:
        return True
    if isinstance(value, list):
        return any(_deeper_than(item, limit - 1) for item in value)
    if isinstance(value, dict):
        return any(_deeper_than(item, limit - 1) for item in value.values())
    return False
