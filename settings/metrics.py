"""Where Tempo writes the metrics that it makes of spans."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from settings.types import CertificateBundle, Host, Model, ServerUrl, TypeName


def _with_path(url: str) -> str:
    if urlsplit(url).path in {"", "/"}:
        raise ValueError(
            "must have the path of remote write: /api/v1/write of Prometheus, /api/v1/push of Mimir, for example"
        )
    return url


WriteUrl = Annotated[ServerUrl, AfterValidator(_with_path), TypeName("URL")]

_LOGIN = "a login is a header: `metricsHeaders.authorization`, such as `Basic …` in base64 or `Bearer …`"


class RemoteWriteTls(Model):
    """TLS of the connection to a Prometheus of yours. Its certificate is always checked."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("cafile", "ca", "capem", "cacert"), "`caBundle` is the text of the file"),
        **dict.fromkeys(
            ("insecureskipverify", "skipverify", "insecure", "verify"),
            "anyone in between can read a connection whose certificate is not checked: name the authority with "
            "`caBundle`, and with `serverName` the host that the certificate is for",
        ),
    }

    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Certificate authorities that Tempo trusts for the URL. Unset: those of the image.",
        examples=["-----BEGIN CERTIFICATE-----\n…"],
    )
    server_name: Host | None = Field(
        default=None,
        description="Host that the certificate is for. Unset: the URL's.",
        examples=["prometheus.example"],
    )


class RemoteWrite(Model):
    """A Prometheus of yours, or another receiver of remote write, such as Mimir."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "headers": "headers are secrets, and stand in the key `metricsHeaders`",
        **dict.fromkeys(("basicauth", "bearertoken", "authorization", "username", "password"), _LOGIN),
        "endpoint": "it is called `url`",
    }

    url: WriteUrl = Field(
        description="URL of remote write. https:// uses TLS. The receiver has to take exemplars, which lead from a "
        "metric to a trace.",
        examples=["https://prometheus.example/api/v1/write"],
    )
    tls: RemoteWriteTls = Field(default_factory=RemoteWriteTls, description="TLS of the connection.")

    @property
    def address(self) -> tuple[str, int]:
        """The receiver's host and port."""
        url = urlsplit(self.url)
        return str(url.hostname), url.port or (443 if url.scheme == "https" else 80)


@dataclass(frozen=True)
class Login:
    """A header `authorization`, in the parts that Prometheus' client wants."""

    scheme: str
    user: str | None
    """The user of `Basic`; none for another scheme."""

    secret: str
    """The user's password, or the token."""


def login_of(authorization: str) -> Login | None:
    """Returns what a header `authorization` says; None if it is neither a scheme with a token, nor a valid `Basic`."""
    scheme, _, rest = authorization.partition(" ")
    token = rest.strip()
    if not token or " " in token:
        return None
    if scheme.lower() != "basic":
        return Login(scheme, None, token)
    try:
        user, colon, password = base64.b64decode(token, validate=True).decode().partition(":")
    except ValueError:
        return None
    return Login("Basic", user, password) if user and colon else None


class MetricsSettings(Model):
    """Where Tempo writes the metrics that it makes of spans: rates, errors, durations, and who calls whom."""

    remote_write: RemoteWrite | None = Field(
        default=None,
        description="A Prometheus of yours. Unset: none. `prometheus.enabled` runs a small one in the stack.",
    )
