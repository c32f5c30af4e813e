# SPDX-License-Identifier: Apache-2.0
"""Ask resilienced before a call, tell it how it went, and do what it says."""
import json, os, socket, time, urllib.error, urllib.request, uuid

URL = os.environ.get("RESILIENCED_URL", "http://127.0.0.1:7071")
REPORTER = f"{socket.gethostname()}-{uuid.uuid4()}"  # this start of this process


class Refused(Exception):
    """The call was not made, or not made again. str() is the reason."""


def ask(method, body, timeout):
    request = urllib.request.Request(f"{URL}/resilience.v1.{method}", json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as wrong:
        if wrong.code in (429, 500, 503, 504):  # it has a problem of its own
            raise ConnectionError(wrong.read().decode()) from None
        raise ValueError(wrong.read().decode()) from None  # we have: a field is wrong, the run is unknown


def seconds(delay):
    return float((delay or "0s").rstrip("s"))


def guarded(target, call, **ids):
    """Calls call(target) as often as the directives say and returns its value. call returns (value, what to report)."""
    ids.setdefault("operation_id", str(uuid.uuid4()))
    while True:
        try:
            may = ask("PermitService/Acquire", {"target": target, "request_id": str(uuid.uuid4()), "reporter_id": REPORTER, **ids}, 0.25)
        except OSError as down:  # nobody answers: hard caps stay hard, everything else goes on
            if "run_id" in ids:
                raise Refused(f"resilienced does not answer: {down}") from None
            return call(target)[0]
        if may["decision"] == "DECISION_GRANTED":
            permit, began = may["permit"], time.monotonic()
            value, seen = call(permit["target"])
            report = {"permit_id": permit["permit_id"], "fence": permit["fence"], "duration": f"{time.monotonic() - began:.6f}s", **seen}
            try:
                then = ask("PermitService/Report", report, 5)
            except OSError as down:  # the permit's lease will end by itself
                then = {"action": "ACTION_CONTINUE" if seen["outcome"] == "OUTCOME_SUCCESS" else "ACTION_STOP", "reason": str(down)}
            if then["action"] == "ACTION_CONTINUE":
                return value
        else:
            then = {**may, "action": "ACTION_RETRY"} if may["decision"] == "DECISION_WAIT" else may
        if then["action"] not in ("ACTION_RETRY", "ACTION_FALLBACK"):
            raise Refused(f"{then['action']}: {then.get('reason')}")
        time.sleep(seconds(then.get("delay")))
