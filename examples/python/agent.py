# SPDX-License-Identifier: Apache-2.0
"""An agent that calls a model and a tool under a cap. Its upstream is a small server of its own, with faults."""
import json, threading, urllib.error, urllib.request, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from guard import URL, Refused, ask, guarded

FAULTS = {"/chat": [(429, {"retry-after": "1"})], "/search": [(503, {})]}  # the first call of each


class Upstream(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        status, headers = FAULTS[self.path].pop() if FAULTS[self.path] else (200, {})
        body = json.dumps({"text": f"an answer of {self.path}", "cost_micros": 3000}).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=upstream.serve_forever, daemon=True).start()


def post(path):
    """One attempt: the value, and what the wire said. No retries here."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{upstream.server_port}{path}", b"{}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            value = json.load(answer)
            return value["text"], {"outcome": "OUTCOME_SUCCESS", "signal": {"http_status": 200}, "usage": {"cost_micros": value["cost_micros"]}}
    except urllib.error.HTTPError as bad:
        keep = {name.lower(): value for name, value in bad.headers.items() if name.lower() == "retry-after"}
        print(f"  {path}: {bad.code} {keep or ''}")
        return None, {"outcome": "OUTCOME_FAILURE", "signal": {"http_status": bad.code, "headers": keep}, "usage": {"cost_micros": 0}}
    except TimeoutError:
        return None, {"outcome": "OUTCOME_FAILURE", "signal": {"exception": "timeout"}}


run = f"python-{uuid.uuid4()}"
try:
    ask("RunService/StartRun", {"request_id": str(uuid.uuid4()), "run_id": run, "caps": {"cost_micros": 20000}}, 5)
except OSError as down:
    raise SystemExit(f"resilienced does not answer at {URL}: {down}. Start it with: make run")
try:
    for step in range(1, 10):
        for target, path in (("example/model", "/chat"), ("example/search", "/search")):
            text = guarded(target, lambda _: post(path), run_id=run, idempotency="IDEMPOTENCY_IDEMPOTENT", estimate={"cost_micros": 3000})
            print(f"step {step}: {text}")
except Refused as why:
    print(f"stopped: {why}")
spent = ask("RunService/GetRun", {"run_id": run}, 5)["run"]["spent"]
print(f"spent {spent['cost_micros']} of 20000 micro-USD in {spent['calls']} calls")
