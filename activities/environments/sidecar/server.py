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
import gc
import os
import signal
import socket
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

from adapter import Adapter
from confinement import MAX_CALL_S, confine, limited_time
from episodes import EpisodeStore
from protocol import (
    MAX_BODY_BYTES,
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

CONNECTION_IDLE_S = 120


def _bfcl_windows() -> Adapter:
    from bfcl_simulators import load_simulators
    from bfcl_windows import BfclWindows

    load_simulators()
    return BfclWindows()


def _bfcl() -> Adapter:
    from bfcl_full import Bfcl
    from bfcl_simulators import load_simulators

    load_simulators()
    return Bfcl()


ENVIRONMENTS: dict[str, Callable[[], Adapter]] = {"bfcl-windows": _bfcl_windows, "bfcl": _bfcl}


class Service:
    """The protocol's calls by path. One lock: the simulators are not thread-safe, and a call takes well under 1 ms."""

    def __init__(self, adapter: Adapter, store: EpisodeStore, max_call_s: float = MAX_CALL_S) -> None:
        self._adapter = adapter
        self._max_call_s = max_call_s
        self._store = store
        self._lock = threading.Lock()
        self._calls: dict[str, Callable[[dict[str, Any]], Any]] = {
            "/list-tasks": self._list_tasks,
            "/reset": self._reset,
            "/step": self._step,
            "/evaluate": self._evaluate,
            "/close": self._close,
            "/restore": self._restore,
            "/demonstrations": self._demonstrations,
        }

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """HTTP status and JSON body for one POST; never raises."""
        try:
            call = self._calls.get(path)
            if call is None:
                raise ProtocolError("bad_request", f"no path {path}; there are {', '.join(self._calls)}", 404)
            request = parse_body(body)
            with self._lock, limited_time(self._max_call_s):
                return 200, canonical_json(call(request))
        except ProtocolError as error:
            return error.status, canonical_json({"code": error.code, "message": error.message})
        except Exception as error:  # noqa: BLE001 - the boundary: one bad request must not end the server
            traceback.print_exc()
            message = f"{path}: {type(error).__name__}: {error}"[:1000]
            return 500, canonical_json({"code": "internal", "message": message})

    def _list_tasks(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"split"}, frozenset({"taskSet"}))
        if request["split"] not in ("train", "heldout"):
            raise ProtocolError("bad_request", "split: expected 'train' or 'heldout'")
        task_set = text_field(request, "taskSet") if "taskSet" in request else None
        try:
            return {"tasks": self._adapter.list_tasks(request["split"], task_set)}
        except ValueError as error:
            raise ProtocolError("bad_request", str(error)) from None

    def _reset(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId", "taskId", "seed"})
        return self._store.reset(episode_id(request), text_field(request, "taskId"), integer_field(request, "seed", 0))

    def _step(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId", "stepIndex", "action"})
        index = integer_field(request, "stepIndex", 1)
        return self._store.step(episode_id(request), index, action_value(request["action"], "action"))

    def _evaluate(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId"})
        return self._store.evaluate(episode_id(request))

    def _close(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId"})
        self._store.close(episode_id(request))
        return {}

    def _restore(self, request: dict[str, Any]) -> Any:
        only_keys(request, {"episodeId", "taskId", "seed", "actions", "observationHashes"})
        if not isinstance(request["actions"], list):
            raise ProtocolError("bad_request", "actions: expected a list")
        return self._store.restore(
            episode_id(request),
            text_field(request, "taskId"),
            integer_field(request, "seed", 0),
            [action_value(action, f"actions[{index}]") for index, action in enumerate(request["actions"])],
            hashes_field(request, "observationHashes"),
        )

    def _demonstrations(self, request: dict[str, Any]) -> Any:
        only_keys(request, set())
        return {"demonstrations": self._adapter.demonstrations()}


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive; one write per reply, so that no reply waits for an acknowledgement."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = CONNECTION_IDLE_S
    server: Server

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._reply(200, b"OK", "text/plain")
        else:
            self._refuse(404, f"no GET {self.path[:100]}; there is GET /healthz")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return self._refuse(411, "Content-Length is missing or no number")
        if int(length[:20]) > MAX_BODY_BYTES:
            return self._refuse(413, f"body of {length[:20]} bytes, the limit is {MAX_BODY_BYTES}")
        # A web page can send text/plain to loopback without asking; it cannot send this.
        if self.headers.get_content_type() != "application/json":
            return self._refuse(415, "Content-Type: expected application/json")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        self._reply(*self.server.service.answer(self.path, body), "application/json")

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # the body is not read
        self._reply(status, canonical_json({"code": "bad_request", "message": message}), "application/json")

    def _reply(self, status: int, body: bytes, content_type: str) -> None:
        connection = "close" if self.close_connection else "keep-alive"
        head = (
            f"HTTP/1.1 {status} {self.responses.get(status, ('', ''))[0]}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
        )
        self.wfile.write(head.encode("ascii") + body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Silent: thousands of requests per minute."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        self.service = service
        super().__init__(address, Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", required=True, choices=sorted(ENVIRONMENTS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one; the first line of output names it")
    parser.add_argument("--max-episodes", type=int, default=4096, help="live episodes; more get 429")
    parser.add_argument("--idle-expiry", type=float, default=3600.0, help="seconds after which an idle episode is dropped")
    options = parser.parse_args()

    os.environ["TZ"] = "UTC"  # a simulator formats local times
    time.tzset()
    try:
        adapter = ENVIRONMENTS[options.environment]()
    except ModuleNotFoundError as error:
        sys.exit(
            f"sidecar: {options.environment} needs the Python package {error.name}, which {sys.executable} lacks: run "
            "`npm run setup`, or start the sidecar with the virtual environment's python"
        )
    service = Service(adapter, EpisodeStore(adapter, options.max_episodes, options.idle_expiry))
    try:
        server = Server((options.host, options.port), service)
    except (OSError, socket.gaierror) as error:
        sys.exit(f"sidecar: cannot listen on {options.host}:{options.port}: {error}: choose another --port")
    confine()
    gc.freeze()  # the loaded data lives as long as the process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"{options.environment} listening on http://{options.host}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
