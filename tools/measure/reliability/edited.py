"""What people and clusters do to a stack that runs: an edit of its configuration, and a drain of its nodes."""

import contextlib
import http.server
import json
import threading
from collections.abc import Generator
from typing import Any

from lab.cluster.network import HOST_ADDRESS
from lab.errors import LabError
from lab.waiting import wait_until
from tools.lab_stack import Stack
from tools.measure.reliability.faults import LIMIT_SECONDS, must, pods, wait_ready
from tools.measure.reliability.faulty import NGINX, during, lossless
from tools.measure.reliability.figures import Figure


def upstream_edited(stack: Stack) -> Figure:
    """NGINX's upstream is another one after `pulumi up`; the old one is in `nginx.egress` for that update.

    Pods of before need the way to the old one until they end, some seconds after `pulumi up` did. The upstreams end
    each connection, so that every request needs that way.
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


def evicted(stack: Stack) -> Figure:
    """NGINX's pods are evicted one after the other, as `kubectl drain` does.

    The lab has one node: the new pods come to the same one.
    """
    return lossless("NGINX's pods evicted", during(stack, lambda: _evict_all(stack.namespace)))


def _evict_all(namespace: str) -> None:
    for pod in pods(namespace, "nginx"):
        name = pod["metadata"]["name"]
        metadata = {"name": name, "namespace": namespace}
        eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
        address = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        must("create", f"--raw={address}", "--filename=-", text=eviction)

        def is_ending(name: str = name) -> bool:
            return all(each["metadata"]["name"] != name for each in pods(namespace, "nginx"))

        wait_until(is_ending, f"{name} was not ending {LIMIT_SECONDS} s after its eviction.", seconds=LIMIT_SECONDS)
        # A drain is refused the next one before that, by the PodDisruptionBudget.
        wait_ready(namespace, NGINX)


def _lead_to(stack: Stack, port: int) -> None:
    stack.configure({"nginx.routes[0].path": "/", "nginx.routes[0].upstream": f"{HOST_ADDRESS}:{port}"})


class _Upstream(http.server.BaseHTTPRequestHandler):
    """Answers, and ends the connection: HTTP/1.0 is what this class speaks by itself."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is overridden
        """Nothing."""


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@contextlib.contextmanager
def _upstream() -> Generator[int]:
    """A server on this machine; gives its port.

    Raises:
        LabError: the lab's address is not there.
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
