"""The AppWorld engine as the sidecar uses it: warmed up once, then one world per forked process.

The engine keeps its databases by task id and freezes the clock of its whole process, so two worlds never share one.
Loading it takes seconds and 270 MB; a child forked from a process that has opened and closed a world begins in a tenth
of a second and shares most of that memory.

A folder per episode is the engine's root: `data` in it leads to the user's data, what the engine writes stays in it.
"""

from __future__ import annotations

import ast
import builtins
import gc
import json
import os
import random
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from protocol import MAX_MESSAGE_CHARACTERS, limit_text

EXPERIMENT = "sidecar"
SEED = 100
"""The engine's default; here also of the `random` that the model's code imports."""
MAX_OUTPUT_CHARACTERS = MAX_MESSAGE_CHARACTERS - 1_000
"""Leaves room for what the message says around the output."""
_ENVIRONMENT = frozenset(
    "PATH HOME TMPDIR LANG LC_ALL LC_CTYPE TZ LD_LIBRARY_PATH PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE "
    "APPWORLD_CACHE".split()
)
_ANEW = "SEEUPO_STARTED_ANEW"
_ENDINGS = (SystemExit, KeyboardInterrupt)
"""As they were: the engine's guard makes `SystemExit` another name of `Exception`, for good."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_WARM_UP = (
    (
        "print(apis.api_docs.show_app_descriptions())\n"
        "print(apis.api_docs.show_api_doc(app_name='simple_note', api_name='login'))"
    ),
    (
        "print(apis.supervisor.show_profile(), apis.supervisor.show_account_passwords())\n"
        "print(sorted({1}), json.dumps({}), DateTime.now())"
    ),
    "undefined_name",
    "def",
    "apis.no_such_app.call()",
    "open('x')",
)


class NoData(Exception):
    """There is no AppWorld data where it should be; the message says how to get it."""


class Tasks:
    """What the data directory says of its tasks, without opening a world."""

    def __init__(self, root: Path) -> None:
        self._data = root / "data"
        if not (self._data / "tasks").is_dir() or not (self._data / "base_dbs").is_dir():
            raise NoData(
                f"no AppWorld data in {self._data}: download it once with "
                f"`.runtime/venvs/appworld/bin/appworld download data --root {root}`, "
                "or name the folder that holds your `data` by --data or SEEUPO_APPWORLD_ROOT"
            )

    def datasets(self) -> list[str]:
        return sorted(path.stem for path in (self._data / "datasets").glob("*.txt"))

    def ids(self, dataset: str) -> list[str]:
        """@raises ValueError for a dataset that there is not"""
        if dataset not in self.datasets():
            raise ValueError(
                f"AppWorld dataset {dataset!r} is not in {self._data / 'datasets'}, "
                f"which has {', '.join(self.datasets()) or 'none'}"
            )
        lines = (self._data / "datasets" / f"{dataset}.txt").read_text(encoding="utf-8").splitlines()
        return [line.partition(":")[0].strip() for line in lines if line.strip()]

    def specification(self, task_id: str) -> dict[str, Any]:
        """{"instruction", "supervisor": {...}, "datetime"}; @raises KeyError for an id that there is not"""
        path = self._data / "tasks" / task_id / "specs.json"
        if not re.fullmatch(r"[A-Za-z0-9]+_[0-9]+", task_id) or not path.is_file():
            raise KeyError(task_id)
        return json.loads(path.read_text(encoding="utf-8"))


def make_root(folder: Path, data_root: Path) -> Path:
    """A root of the engine's own, below which the user's data can only be read."""
    folder.mkdir(parents=True)
    (folder / "ipython").mkdir()
    (folder / "data").symlink_to(data_root / "data")
    return folder


def enter_root(root: Path) -> None:
    """From here on the engine reads and writes below this root.

    As the working directory: the engine remembers paths from the first world on, and tells them in messages, which must
    be the same wherever an episode is replayed.
    """
    os.chdir(root)
    sys.path_importer_cache.clear()  # finders keep the absolute path of another root
    os.environ["APPWORLD_ROOT"] = "."
    os.environ["IPYTHONDIR"] = "ipython"


class World:
    """One open world. Whoever opens it holds no other."""

    def __init__(self, task_id: str) -> None:
        from appworld.environment import AppWorld

        random.seed(SEED)
        # The ground truth is not in the process that runs the model's code; time is limited from outside.
        self._world = AppWorld(
            task_id=task_id, experiment_name=EXPERIMENT, load_ground_truth=False, timeout_seconds=None, random_seed=SEED
        )

    def execute(self, code: str) -> dict[str, Any]:
        """{"output", "completed"}, or {"cut": why} if what it left behind depends on where it was interrupted."""
        try:
            ast.parse(code)
        except SyntaxError:
            pass  # the engine words it
        except (ValueError, RecursionError, MemoryError) as error:  # zero bytes, half surrogates, thousands of brackets
            said = f"Execution failed. Traceback:\n{type(error).__name__}: {error}"
            return {"output": said.encode("ascii", "backslashreplace").decode(), "completed": False}
        try:
            output = self._world.execute(code)
            if output.rstrip().rpartition("\n")[2].startswith("MemoryError"):
                return {"cut": "limits"}
            return {
                "output": limit_text(_ADDRESS.sub(" at 0x0", output), MAX_OUTPUT_CHARACTERS),
                "completed": self._world.task_completed(),
            }
        except MemoryError:
            return {"cut": "limits"}
        except _ENDINGS:
            # The engine lets these through, with its guard still up and nothing saved.
            return {"cut": "exit"}

    def close(self) -> None:
        self._world.close()


def judge(task_id: str) -> dict[str, Any]:
    """The official evaluation of what the world in this root has saved: {"passed", "tests", "success"}."""
    from appworld.evaluator import evaluate_task

    tracker = evaluate_task(task_id=task_id, experiment_name=EXPERIMENT, suppress_errors=True, save_report=False)
    return {"passed": tracker.pass_count, "tests": tracker.num_tests, "success": tracker.success}


def start_anew() -> None:
    """Starts this process again, unless it has been: with fixed hashes, in whose order sets are printed, and without
    what is in the environment besides the necessary, which the model's code could read. Its id stays the same.
    """
    if os.environ.pop(_ANEW, None) is not None:
        return
    kept = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**kept, "PYTHONHASHSEED": "0", _ANEW: "1"})


def load_engine(data_root: Path, folder: Path, task_id: str) -> None:
    """Imports the engine, and opens, uses, judges and closes a world in this process: its children find everything
    loaded.
    """
    before, kept, here = time.time(), dict(os.environ), os.getcwd()
    enter_root(make_root(folder, data_root))
    from appworld.apps.model_lib import CachedDBHandler, get_cached_db_engine, get_direct_cached_sqlite3_connection
    from appworld.environment import AppWorld

    world = World(task_id)
    for code in _WARM_UP:
        world.execute(code)
    judge(task_id)
    world.close()
    AppWorld.close_all()
    # Else every `except SystemExit` of this process, the event loop's first of all, would take every error for its end.
    builtins.SystemExit = _ENDINGS[0]
    # Connections to the base databases: a child opens its own.
    CachedDBHandler.reset()
    get_direct_cached_sqlite3_connection.cache_clear()
    get_cached_db_engine.cache_clear()
    if not 0 <= time.time() - before < 600:
        raise RuntimeError("the engine left the clock of this process frozen: is this the pinned version of appworld?")
    # The engine reads .env files, which are none of its business.
    for name in os.environ.keys() - kept.keys() - {"APPWORLD_ROOT", "APPWORLD_CACHE", "IPYTHONDIR"}:
        del os.environ[name]
    os.chdir(here)
    shutil.rmtree(folder, ignore_errors=True)
    gc.collect()
