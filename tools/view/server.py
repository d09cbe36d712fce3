"""Serves the page on 127.0.0.1 to the browser of this machine, and to no other page in it."""

import asyncio
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tools.errors import ToolError
from tools.view.site import Answer, Site

HOST = "127.0.0.1"

HEADERS = {
    # Lens writes its styles into the page; all else comes from this server, and nothing from elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Traces change, and the next version of this program has other files.
    "Cache-Control": "no-store",
}

_LONGEST_REASON = 200
"""Our choice: as much as Lens shows in its box."""


@contextmanager
def serving(site: Site, port: int) -> Generator[int]:
    """Serves a site while the caller's event loop runs; yields the port.

    Args:
        site: the pages; its answers run in the caller's loop.
        port: the port of 127.0.0.1; 0 for any free one.

    Raises:
        ToolError: another program has the port.
    """
    try:
        server = _Server((HOST, port), _Handler)
    except OSError as error:
        raise ToolError(
            f"Port {port} of {HOST} cannot be used: {error.strerror}. Is a view open already? "
            "Name another port: python -m tools view --port 9412"
        ) from None
    server.site, server.loop = site, asyncio.get_running_loop()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site
    loop: asyncio.AbstractEventLoop

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing about a browser that has closed its connection: the person went on to another page."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def names(self) -> set[str]:
        """The names by which the browser may call the server.

        A name of somebody else's may lead to 127.0.0.1 too (DNS rebinding), and his page would then read the answers.
        """
        port = self.server_address[1]
        return {f"{host}:{port}" for host in (HOST, "localhost")}


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD. `http.server` refuses every other method, with 501."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "nginx-tracing", ""

    def do_GET(self) -> None:
        if self.headers.get_all("Host") not in [[name] for name in self._server.names]:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "This server is called 127.0.0.1 or localhost")
        elif self._is_of_another_page():
            self.send_error(HTTPStatus.FORBIDDEN, "Another page may link to this one, and nothing else")
        else:
            try:
                parts = urlsplit(self.path)
            except ValueError:
                self.send_error(HTTPStatus.BAD_REQUEST, "This is no address of a page")
                return
            self._send(self._answer(unquote(parts.path), dict(parse_qsl(parts.query))))

    do_HEAD = do_GET  # noqa: N815 - the names of `http.server`

    def _is_of_another_page(self) -> bool:
        """Tells whether another page loads a part of this one: it reads nothing, but would keep Tempo busy."""
        is_own = self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        return not is_own and self.headers.get("Sec-Fetch-Mode") != "navigate"

    @property
    def _server(self) -> _Server:
        return cast(_Server, self.server)

    def _answer(self, path: str, asked: dict[str, str]) -> Answer:
        answering = self._server.site.answer(path, asked)
        return asyncio.run_coroutine_threadsafe(answering, self._server.loop).result()

    def _send(self, answer: Answer) -> None:
        # A status line is one line of ASCII.
        reason = " ".join(answer.reason.encode("ascii", "replace").decode().split())
        self.send_response(answer.status, reason[:_LONGEST_REASON] or None)
        headers = {"Content-Type": answer.file.content_type, "Content-Length": str(len(answer.file.content))}
        if answer.location:
            headers["Location"] = answer.location
        for name, value in (headers | HEADERS).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.file.content)

    def log_message(self, *_: Any, **__: Any) -> None:
        """Prints nothing: the terminal has the page's address."""
