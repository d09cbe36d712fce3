"""Renders nginx.conf of the gateway in Tempo's pod, and the file with the password that it asks for."""

import base64
import hashlib

from components.documents.templates import render
from components.documents.tempo import HTTP_PORT as TEMPO_PORT

PUBLIC_PORT = 3100
"""The read API and readiness, for clients; the port of the Service."""

INSIDE_PORT = 3101
"""Readiness and counters, for the kubelet and Prometheus; in no Service."""

CONNECTIONS = 2048
"""Connections of the one worker. NGINX closes idle ones itself when few are left.

2000 connections with a head of 30 kB each took 75 MiB (measured): that many fit into the container's memory limit.
"""

CONF_FILE = "nginx.conf"
FOLDER = "/etc/nginx"
PASSWORD_FOLDER = "/etc/tempo-gateway"  # noqa: S105 - a folder
PASSWORD_FILE = "htpasswd"  # noqa: S105 - a file's name

USER_NAME = "tempo"
"""The one user of Tempo's API, where it has a password."""


def gateway_conf(*, has_password: bool) -> str:
    """Renders the gateway's nginx.conf, which has no secret in it."""
    return render(
        "tempo_gateway.conf.j2",
        connections=CONNECTIONS,
        tempo_port=TEMPO_PORT,
        public_port=PUBLIC_PORT,
        inside_port=INSIDE_PORT,
        password_file=f"{PASSWORD_FOLDER}/{PASSWORD_FILE}" if has_password else None,
    )


def password_file(password: str, *, salt_of: str) -> str:
    """Returns the line of an htpasswd file for a password, the same each time.

    The salt is derived: a random one would make a new Secret, and new pods, at each `pulumi up`. It only has to differ
    between stacks, so that equal passwords have different hashes.

    The scheme is `{SSHA}`, which NGINX computes itself. NGINX checks the password of every request: a slow hash, such
    as SHA-512-crypt of the platform's libc, would cost milliseconds of its one worker each time. Source: NGINX's
    documentation of auth_basic_user_file.

    Args:
        password: the password.
        salt_of: the text that the salt is derived from: the stack's namespace.
    """
    salt = hashlib.sha256(f"nginx-tracing/{USER_NAME}/{salt_of}".encode()).digest()[:16]
    digest = hashlib.sha1(password.encode() + salt).digest()  # noqa: S324 - the scheme's own
    return f"{USER_NAME}:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"
