"""The environments' sidecar: the official Python environments behind a small HTTP protocol.

    python activities/environments/sidecar/server.py --environment bfcl-windows --host 127.0.0.1 --port 8700

GET /healthz answers 200 `OK`. Everything else is POST with a JSON body, shapes as in
`schemas/environment-protocol.ts`: /list-tasks /reset /step /evaluate /close /restore /demonstrations.
Errors are {"code", "message"}: 4xx is the caller's fault, 5xx may be tried again. It keeps nothing on disk:
after a restart the callers restore their episodes by replay. Standard library only, plus what the
environment itself needs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from adapter import Adapter
from confinement import confine, limit_resources
from episodes import EpisodeStore
from http_service import Reply, listening_socket, serve
from protocol import (
    ProtocolError,
    action_value,
    canonical_json,
    episode_id,
    hashes_field,
    integer_field,
    only_keys,
    parse_body,
    text_field,
)
from time_limit import TooLong, time_limit


def _bfcl_windows(options: argparse.Namespace) -> Adapter:
    from bfcl_simulators import load_simulators
    from bfcl_windows import BfclWindows

    load_simulators()
    return BfclWindows()


def _bfcl(options: argparse.Namespace) -> Adapter:
    from bfcl_full import Bfcl
    from bfcl_simulators import load_simulators

    load_simulators()
    return Bfcl()


def _appworld(options: argparse.Namespace) -> Adapter:
    from appworld_engine import NoData, Tasks, load_engine, start_anew
    from appworld_pool import PoolLimits, WorldPool, make_scratch
    from appworld_react import AppWorldReact
    from landlock import landlock_version

    if options.data is None:
        sys.exit("sidecar: appworld needs --data DIR, the folder in which `appworld download data` put `data`")
    start_anew()
    root = Path(options.data).resolve()
    try:
        tasks = Tasks(root)
        first = tasks.ids("train")[0]
    except (NoData, ValueError) as error:
        sys.exit(f"sidecar: {error}")
    scratch = make_scratch()
    if landlock_version() == 0:
        print(
            "sidecar: this kernel has no Landlock: code of a model could read the tasks' answers below --data",
            file=sys.stderr,
        )
    load_engine(root, scratch / "warm-up", first)
    limits = PoolLimits(options.worlds, options.max_seconds, options.max_clock_seconds, options.world_memory << 20)
    return AppWorldReact(tasks, WorldPool(root, scratch, limits))


ENVIRONMENTS: dict[str, Callable[[argparse.Namespace], Adapter]] = {
    "bfcl-windows": _bfcl_windows,
    "bfcl": _bfcl,
    "appworld": _appworld,
}


class Service:
    """The protocol's calls by path: one at a time, since simulators are not thread-safe and a call takes well under 1
    ms, unless the adapter is concurrent.
    """

    def __init__(self, adapter: Adapter, store: EpisodeStore, max_seconds: float = 10.0) -> None:
        self._adapter = adapter
        self._store = store
        self._max_seconds = max_seconds
        self._calls: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "/list-tasks": self._list_tasks,
            "/reset": self._reset,
            "/step": self._step,
            "/evaluate": self._evaluate,
            "/close": self._close,
            "/restore": self._restore,
            "/demonstrations": self._demonstrations,
        }

    def answer(self, path: str, body: bytes) -> Reply | Awaitable[Reply]:
        """HTTP status and JSON body for one POST; never raises."""
        reply = self._reply(path, body)
        return reply if self._adapter.concurrent else _at_once(reply)

    async def _reply(self, path: str, body: bytes) -> Reply:
        try:
            call = self._calls.get(path)
            if call is None:
                raise ProtocolError("bad_request", f"no path {path}; there are {', '.join(self._calls)}", 404)
            request = parse_body(body)
            # The alarm is one for the whole process: it cannot tell steps that overlap.
            with nullcontext() if self._adapter.concurrent else time_limit(self._max_seconds):
                return 200, canonical_json(await call(request))
        except ProtocolError as error:
            return error.status, canonical_json({"code": error.code, "message": error.message})
        except TooLong:
            # Not an observation: the same step is quicker on another day, and episodes must come out the same.
            return 500, canonical_json(
                {"code": "internal", "message": f"{path}: took more than {self._max_seconds:g} s of processor time"}
            )
        except Exception as error:  # noqa: BLE001 - the boundary: one bad request must not end the server
            traceback.print_exc()
            message = f"{path}: {type(error).__name__}: {error}"[:1000]
            return 500, canonical_json({"code": "internal", "message": message})

    async def _list_tasks(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"split"}, frozenset({"taskSet"}))
        if request["split"] not in ("train", "heldout"):
            raise ProtocolError("bad_request", "split: expected 'train' or 'heldout'")
        task_set = text_field(request, "taskSet") if "taskSet" in request else None
        try:
            return {"tasks": self._adapter.list_tasks(request["split"], task_set)}
        except ValueError as error:
            raise ProtocolError("bad_request", str(error)) from None

    async def _reset(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId", "taskId", "seed"})
        return await self._store.reset(
            episode_id(request), text_field(request, "taskId"), integer_field(request, "seed", 0)
        )

    async def _step(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId", "stepIndex", "action"})
        index = integer_field(request, "stepIndex", 1)
        return await self._store.step(episode_id(request), index, action_value(request["action"], "action"))

    async def _evaluate(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId"})
        return await self._store.evaluate(episode_id(request))

    async def _close(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId"})
        await self._store.close(episode_id(request))
        return {}

    async def _restore(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId", "taskId", "seed", "actions", "observationHashes"})
        if not isinstance(request["actions"], list):
            raise ProtocolError("bad_request", "actions: expected a list")
        return await self._store.restore(
            episode_id(request),
            text_field(request, "taskId"),
            integer_field(request, "seed", 0),
            [action_value(action, f"actions[{index}]") for index, action in enumerate(request["actions"])],
            hashes_field(request, "observationHashes"),
        )

    async def _demonstrations(self, request: dict[str, Any]) -> Any:
        only_keys(request, set())
        return {"demonstrations": self._adapter.demonstrations()}


def _at_once(reply: Coroutine[Any, Any, Reply]) -> Reply:
    """Runs what waits for nothing, without a round of the event loop."""
    try:
        reply.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("a call of an adapter that is not concurrent waited for something")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", required=True, choices=sorted(ENVIRONMENTS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one; the first line of output names it")
    parser.add_argument("--max-episodes", type=int, default=4096, help="live episodes; more get 429")
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=10.0,
        help="of processor time for one request; a step that takes more is ended and the episode "
        "forgotten, with appworld undone and told",
    )
    parser.add_argument(
        "--max-clock-seconds", type=float, default=200.0, help="appworld: on the clock, for code that waits"
    )
    parser.add_argument("--data", help="appworld: the folder that holds the downloaded `data`")
    parser.add_argument(
        "--worlds",
        type=int,
        default=8,
        help="appworld: worlds open at once, a process each; other episodes' worlds are opened again "
        "when they are needed",
    )
    parser.add_argument(
        "--world-memory",
        type=int,
        default=1024,
        help="appworld: address space of one world, MiB; 430 are in use when it opens",
    )
    parser.add_argument(
        "--idle-expiry", type=float, default=3600.0, help="seconds after which an idle episode is dropped"
    )
    options = parser.parse_args()

    os.environ["TZ"] = "UTC"  # a simulator formats local times
    time.tzset()
    try:
        adapter = ENVIRONMENTS[options.environment](options)
    except ModuleNotFoundError as error:
        sys.exit(
            f"sidecar: {options.environment} needs the Python package {error.name}, which {sys.executable} lacks: run "
            "`npm run setup` (for appworld `npm run setup -- --with appworld`), or start the sidecar with the "
            "virtual environment's python"
        )
    service = Service(adapter, EpisodeStore(adapter, options.max_episodes, options.idle_expiry), options.max_seconds)
    try:
        listening = listening_socket(options.host, options.port)
    except (OSError, socket.gaierror) as error:
        sys.exit(f"sidecar: cannot listen on {options.host}:{options.port}: {error}: choose another --port")
    if adapter.concurrent:
        limit_resources()  # its children read files, and confine themselves before they run anything of a model's
    else:
        confine()
    gc.freeze()  # the loaded data lives as long as the process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"{options.environment} listening on http://{options.host}:{listening.getsockname()[1]}", flush=True)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(listening, service.answer))


if __name__ == "__main__":
    main()
