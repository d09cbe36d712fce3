"""nginx.conf of the gateway in Tempo's pod, and the password that it asks for."""

import base64
import hashlib
from pathlib import Path

import jinja2

from components.documents.tempo import HTTP_PORT as TEMPO_PORT

PUBLIC_PORT = 3100
"""The read API and readiness, for clients; the port of the Service."""

INSIDE_PORT = 3101
"""Readiness and counters, for the kubelet and Prometheus; in no Service."""

CONNECTIONS = 2048
"""Connections of the one worker. NGINX closes idle ones itself when few are left. With a head of 30 kB each, 2000 took
75 MiB (measured): that many fit into the container's memory limit."""

CONF_FILE = "nginx.conf"
FOLDER = "/etc/nginx"
PASSWORD_FOLDER = "/etc/tempo-gateway"  # noqa: S105 - a folder
PASSWORD_FILE = "htpasswd"  # noqa: S105 - a file's name

USER_NAME = "tempo"
"""The one user of Tempo's API, where it has a password."""


def gateway_conf(*, has_password: bool) -> str:
    """The gateway's nginx.conf, which has no secret in it."""
    return _template.render(
        connections=CONNECTIONS,
        tempo_port=TEMPO_PORT,
        public_port=PUBLIC_PORT,
        inside_port=INSIDE_PORT,
        password_file=f"{PASSWORD_FOLDER}/{PASSWORD_FILE}" if has_password else None,
    )


def password_file(password: str, *, salt_of: str) -> str:
    """The line of an htpasswd file for a password, the same each time.

    A random salt would make a new Secret, and new pods, at each `pulumi up`. The salt is therefore derived: it only has
    to differ between stacks, so that equal passwords have different hashes. The scheme is `{SSHA}`, which NGINX
    computes itself: it checks the password of every request, and a slow hash, such as SHA-512-crypt of the platform's
    libc, would cost milliseconds of its one worker each time. Source: NGINX's documentation of auth_basic_user_file.

    Args:
        password: the password.
        salt_of: what the salt is derived from: the stack's namespace.
    """
    salt = hashlib.sha256(f"nginx-tracing/{USER_NAME}/{salt_of}".encode()).digest()[:16]
    digest = hashlib.sha1(password.encode() + salt).digest()  # noqa: S324 - the scheme's own
    return f"{USER_NAME}:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"


_template = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - nginx.conf, not HTML, and no text of a person is in it
).get_template("tempo_gateway.conf.j2")
