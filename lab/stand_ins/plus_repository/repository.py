"""Serves the package repository by HTTPS; everything but the signing key demands a client certificate."""

import functools
import http.server
import ssl
import threading
from pathlib import Path

from lab.cluster.network import HOST_ADDRESS


class Repository:
    """Serves a folder: `/plus` to clients with a certificate of its authority, the rest to all.

    It listens on the lab's own address, which no other machine reaches.
    """

    def __init__(self, folder: Path, *, certificate: Path, key: Path, authority: Path) -> None:
        """Starts to serve.

        Args:
            folder: the folder that is served.
            certificate: the server's certificate.
            key: its key.
            authority: the authority of the clients' certificates.
        """
        self.requests: list[str] = []
        """The requests with their answers."""

        self.refuses = False
        """Whether it answers 403 to known certificates, as F5's does to those of a subscription that ended."""

        handler = functools.partial(_Handler, directory=str(folder), repository=self)
        self._server = _Server((HOST_ADDRESS, 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Returns its address."""
        return f"https://{HOST_ADDRESS}:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stops to serve."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Prints nothing about a client that is refused: the client gets the answer."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments: object, repository: Repository, **options: object) -> None:
        self._repository = repository
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def do_GET(self) -> None:
        """Answers with a file, or with 403."""
        connection = self.connection
        is_known = isinstance(connection, ssl.SSLSocket) and connection.getpeercert()
        if self.path.startswith("/plus/") and (self._repository.refuses or not is_known):
            self.send_error(403, "no such client")
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Notes a request, and keeps it out of the tests' output."""
        self._repository.requests.append(format % args)
