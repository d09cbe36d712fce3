"""An API server of a few objects, for tests: it answers by method and path, and keeps the requests."""

import http.server
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
Said = tuple[int, Object | str]
"""A status and a document, or text."""

NOWHERE = "http://127.0.0.1:1"
"""The address of a server that refuses connections: nothing listens on port 1."""


def missing(path: str) -> Said:
    """Returns an API server's answer to a path that it has nothing at."""
    return refused(404, f"{path} not found")


def refused(status: int, message: str) -> Said:
    """Returns an API server's answer to a request that it does not serve."""
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status}


def listed(*items: Object) -> Said:
    """Returns a list of objects. Kubernetes answers `null` for an empty list of metadata."""
    return 200, {"kind": "List", "items": list(items) or None}


def kubeconfig(server: str = NOWHERE, context: str = "only") -> str:
    """Returns a kubeconfig that leads to a server with a token."""
    document: Object = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        "current-context": context,
    }
    return yaml.safe_dump(document)


@dataclass
class FakeApi:
    """The server's answers, by `METHOD path`. A function is given the query and the body."""

    answers: dict[str, Said | Callable[[dict[str, list[str]], Object], Said]] = field(
        default_factory=dict[str, Said | Callable[[dict[str, list[str]], Object], Said]]
    )
    asked: list[str] = field(default_factory=list[str])
    """The requests, as `METHOD URL`."""
    accepted: set[str] = field(default_factory=set[str])
    """The first media type that each request takes."""
    authorized: set[str] = field(default_factory=set[str])
    kubeconfig: str = ""
    """The text of the kubeconfig that leads to it, once it serves."""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Object) -> Said:
        """Returns the answer to a request. Subclasses have rules of their own."""
        found = self.answers.get(f"{method} {path}", missing(path))
        return found(query, body) if callable(found) else found


@dataclass
class ApiOfObjects(FakeApi):
    """An API server of objects: metadata by path, and by patterns of paths the status of a refusal."""

    objects: dict[str, Object] = field(default_factory=dict[str, Object])
    refused: dict[str, int] = field(default_factory=dict[str, int])

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Object) -> Said:  # noqa: ARG002
        """Returns an object, or the list of the objects below a path."""
        parts = path.split("/")
        if status := next((code for pattern, code in self.refused.items() if fnmatch(path, pattern)), None):
            return refused(status, f"{parts[-2]} is forbidden")
        if path in self.objects:
            metadata = {"name": parts[-1], "uid": f"uid-of-{path}"} | self.objects[path]
            return 200, {"kind": "PartialObjectMetadata", "metadata": metadata}
        if len(parts) == (6 if parts[1] == "api" else 7):
            found = [key for key in self.objects if key.rpartition("/")[0] == path]
            return listed(*({"metadata": {"name": key.rpartition("/")[2]} | self.objects[key]} for key in found))
        return missing(path)


Server = TypeVar("Server", bound=FakeApi)


@contextmanager
def serving(api: Server) -> Generator[Server]:
    """Serves on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve({})

        def do_DELETE(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _serve(self, body: Object) -> None:
            parts = urlsplit(self.path)
            api.asked.append(f"{self.command} {self.path}")
            api.accepted.add(self.headers["Accept"].split(",")[0])
            api.authorized.add(self.headers["Authorization"])
            status, document = api.answer(self.command, parts.path, parse_qs(parts.query), body)
            text = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(document, str) else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # The poll's interval is what `shutdown` waits for: half a second by default.
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    api.kubeconfig = kubeconfig(f"http://127.0.0.1:{server.server_address[1]}")
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
