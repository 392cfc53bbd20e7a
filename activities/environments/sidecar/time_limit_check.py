"""Proves the time limit on an environment that never answers; prints one JSON object.

.runtime/venvs/bfcl/bin/python activities/environments/sidecar/time_limit_check.py
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

from adapter import Message
from episodes import EpisodeStore
from server import Service


class _Slow:
    """Spins for ever, and swallows every Exception as simulators do, when it is told `spin`; else answers at once."""

    name = "slow"
    concurrent = False

    def list_tasks(self, split: str, task_set: str | None) -> list[dict[str, Any]]:
        return []

    def open(self, task_id: str, seed: int) -> _Slow:
        return self

    def start(self) -> tuple[list[Message], bool]:
        return [], False

    def step(self, action: dict[str, Any]) -> tuple[list[Message], bool]:
        while action["content"] == "spin":
            with suppress(Exception):
                sum(range(1000))
        return [{"role": "user", "content": "done"}], False

    def verdict(self) -> dict[str, Any]:
        return {"score": 0.0, "success": False, "turnsPassed": []}

    def close(self) -> None:
        pass

    def demonstrations(self) -> list[dict[str, Any]]:
        return []


def main() -> None:
    adapter = _Slow()
    service = Service(adapter, EpisodeStore(adapter), max_seconds=0.2)

    def post(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        answer = service.answer(path, json.dumps(body).encode())
        assert isinstance(answer, tuple)  # the adapter is not concurrent
        status, reply = answer
        return status, json.loads(reply)

    def step(content: str) -> dict[str, Any]:
        return {"episodeId": "e", "stepIndex": 1, "action": {"content": content, "calls": []}}

    post("/reset", {"episodeId": "e", "taskId": "t", "seed": 0})
    began = time.process_time()
    spun = post("/step", step("spin"))
    seconds = time.process_time() - began
    lost = post("/step", step("spin"))
    post("/reset", {"episodeId": "e", "taskId": "t", "seed": 0})
    print(
        json.dumps(
            {"spun": spun, "seconds": seconds, "afterwards": lost[1]["code"], "next": post("/step", step("go"))[0]}
        )
    )


if __name__ == "__main__":
    main()
