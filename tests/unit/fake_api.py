"""An API server of a few objects: answers by path, and keeps what it was asked."""

import http.server
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]
Said = tuple[int, Object | str]
"""A status and a document, or text."""


def missing(path: str) -> Said:
    """What an API server says of a path that it has nothing at."""
    return 404, {"kind": "Status", "status": "Failure", "message": f"{path} not found", "code": 404}


def refused(status: int, message: str) -> Said:
    """What an API server says to a request that it does not serve."""
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status}


def listed(*items: Object) -> Said:
    """A list of objects."""
    return 200, {"kind": "List", "items": list(items)}


@dataclass
class FakeApi:
    """What it answers, by `METHOD path`; a function is given the query and the body."""

    answers: dict[str, Said | Callable[[dict[str, list[str]], Object], Said]]
    asked: list[str] = field(default_factory=list[str])
    authorized: set[str] = field(default_factory=set[str])
    kubeconfig: str = ""

    def _answer(self, method: str, url: str, body: Object) -> Said:
        parts = urlsplit(url)
        self.asked.append(f"{method} {url}")
        found = self.answers.get(f"{method} {parts.path}", missing(parts.path))
        return found(parse_qs(parts.query), body) if callable(found) else found


@contextmanager
def serving(api: FakeApi) -> Generator[FakeApi]:
    """Serves it on a port of its own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve({})

        def do_DELETE(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _serve(self, body: Object) -> None:
            api.authorized.add(self.headers["Authorization"])
            status, document = api._answer(self.command, self.path, body)  # pyright: ignore[reportPrivateUsage]
            text = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(document, str) else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    api.kubeconfig = yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "only", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "only",
        }
    )
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
