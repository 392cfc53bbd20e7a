"""An MCP server with one tool, which answers with Python's repr of its arguments: over stdio, or over HTTP at a port.

python3 arguments_server.py [PORT]
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PARAMETERS = ["n", "x", "$filter", "max-results", "filter[id]", "StartTime<", "größe"]
SCHEMA = {"type": "object", "properties": {name: {} for name in PARAMETERS}}


def answer(request):
    method, params = request["method"], request.get("params", {})
    if method == "initialize":
        server = {"name": "arguments", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [{"name": "show", "description": "", "inputSchema": SCHEMA}]}
    return {"content": [{"type": "text", "text": repr(params["arguments"])}]} if method == "tools/call" else {}


def reply(text):
    request = json.loads(text)
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answer(request)}) if "id" in request else None


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = reply(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(202 if body is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len((body or "").encode())))
        self.end_headers()
        self.wfile.write((body or "").encode())

    def do_GET(self):
        self.send_error(405)

    def log_message(self, format, *args):  # noqa: A002 - the name that it overrides
        pass


if len(sys.argv) > 1:
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
for line in sys.stdin:
    said = reply(line)
    if said is not None:
        print(said, flush=True)
