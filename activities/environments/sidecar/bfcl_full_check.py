"""Proves `bfcl` against the official checker; prints one JSON object.

    .runtime/venvs/bfcl/bin/python activities/environments/sidecar/bfcl_full_check.py

Ground truth (one call per response) must score 1 on all 800 tasks, silence 0, and mutated policies must get the
official checker's verdict on what they called.
"""

from __future__ import annotations

import json
import random
import time

from bfcl_full import Bfcl
from bfcl_simulators import CATEGORIES, BfclTask, load_tasks
from self_check import Official, Turns, action, mutated

SILENCE = {"content": "", "calls": []}


def verdict(adapter: Bfcl, task: BfclTask, turns: Turns) -> bool:
    episode = adapter.open(task.id, 0)
    episode.start()
    done = False
    for calls in turns:
        for step in [action([call]) for call in calls] + [SILENCE]:
            assert not done, f"{task.id} ended early"
            done = episode.step(step)[1]
            if done:
                break
        if done:
            break
    return bool(episode.verdict()["success"])


def main() -> None:
    started = time.monotonic()
    adapter, official, chance = Bfcl(), Official(), random.Random("bfcl")
    counts = dict.fromkeys(
        ["tasks", "groundTruthScoresOne", "silenceScoresOne", "mutations", "verdictsEqual", "mutationsValid"], 0
    )
    for task in (task for category in CATEGORIES for task in load_tasks(category)):
        truth = [list(turn) for turn in task.ground_truth]
        counts["tasks"] += 1
        if max(map(len, truth)) <= 20:
            counts["groundTruthScoresOne"] += verdict(adapter, task, truth)
        else:  # more calls than steps: several in one response
            episode = adapter.open(task.id, 0)
            for turn in truth:
                if turn:
                    episode.step(action(turn))
                episode.step(SILENCE)
            counts["groundTruthScoresOne"] += episode.verdict()["success"]
        counts["silenceScoresOne"] += verdict(adapter, task, [[] for _ in truth])
        turns = mutated(task, chance)
        if max(map(len, turns)) <= 20:
            ours, theirs = verdict(adapter, task, turns), official.valid(task, turns, len(turns))
            counts["mutations"] += 1
            counts["verdictsEqual"] += ours == theirs
            counts["mutationsValid"] += theirs
    print(json.dumps({**counts, "seconds": round(time.monotonic() - started, 2)}))


if __name__ == "__main__":
    main()
