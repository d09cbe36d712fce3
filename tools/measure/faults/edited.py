"""Does to a running stack what people and clusters do: edits its configuration, and drains its nodes."""

import contextlib
import http.server
import json
import threading
from collections.abc import Generator
from typing import Any

from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from lab.errors import LabError
from lab.waiting import wait_until
from tools.lab_stack import Stack
from tools.measure.faults.inject import LIMIT_SECONDS, pods, wait_ready
from tools.measure.faults.outcome import during, lossless
from tools.measure.faults.scenarios import NGINX
from tools.measure.results import Result


def upstream_edited(stack: Stack) -> Result:
    """Gives NGINX another upstream by `pulumi up`, and keeps the old one in `nginx.egress` for that update.

    Old pods need to reach the old upstream until they terminate, some seconds after `pulumi up` returns. Both upstreams
    close each connection after its answer, so that every request needs a new one.
    """
    with _upstream() as old, _upstream() as new:
        _lead_to(stack, old)
        stack.up()
        try:

            def edit() -> None:
                _lead_to(stack, new)
                stack.configure({"nginx.egress[0]": f"{HOST_ADDRESS}:{old}"})
                stack.up()

            outcome = during(stack, edit)
        finally:
            for key in ("routes", "egress"):
                stack.must("config", "rm", "--path", f"nginx.{key}")
            stack.up()
    return lossless("NGINX's upstream edited", outcome)


def evicted(stack: Stack) -> Result:
    """Evicts NGINX's pods one after the other, as `kubectl drain` does.

    The lab has one node, so the new pods start on the same one.
    """
    return lossless("NGINX's pods evicted", during(stack, lambda: _evict_all(stack.namespace)))


def _evict_all(namespace: str) -> None:
    for pod in pods(namespace, "nginx"):
        name = pod["metadata"]["name"]
        metadata = {"name": name, "namespace": namespace}
        eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
        address = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"

        def is_evicted(name: str = name, address: str = address, eviction: str = eviction) -> bool:
            asked = kubectl("create", f"--raw={address}", "--filename=-", text=eviction)
            # The PodDisruptionBudget counts a pod some time after it is Ready. A drain repeats a refused eviction, too.
            if asked.returncode != 0 and "TooManyRequests" not in asked.stderr:
                raise LabError(f"{name} could not be evicted:\n{asked.stderr}")
            return asked.returncode == 0

        wait_until(is_evicted, f"{name} could not be evicted for {LIMIT_SECONDS} s.", seconds=LIMIT_SECONDS)

        def is_ending(name: str = name) -> bool:
            return all(each["metadata"]["name"] != name for each in pods(namespace, "nginx"))

        wait_until(is_ending, f"{name} was not ending {LIMIT_SECONDS} s after its eviction.", seconds=LIMIT_SECONDS)
        wait_ready(namespace, NGINX)


def _lead_to(stack: Stack, port: int) -> None:
    stack.configure({"nginx.routes[0].path": "/", "nginx.routes[0].upstream": f"{HOST_ADDRESS}:{port}"})


class _Upstream(http.server.BaseHTTPRequestHandler):
    """Answers and closes the connection, because this class speaks HTTP/1.0 by default."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is overridden
        """Logs nothing."""


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@contextlib.contextmanager
def _upstream() -> Generator[int]:
    """Runs a server on this machine, and yields its port.

    Raises:
        LabError: this machine does not have the lab's address.
    """
    try:
        server = _Server((HOST_ADDRESS, 0), _Upstream)
    except OSError as error:
        raise LabError(f"No server can listen at {HOST_ADDRESS}: {error}") from error
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
