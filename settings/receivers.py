"""How spans reach the Collector."""

from typing import Annotated

from pydantic import Field

from settings.types import LabelName, Model, Origin, TypeName, matching

OTLP_HTTP_PORT = 4318
"""The port of OTLP over HTTP."""

CorsHeader = Annotated[
    str, matching(r"\*|[A-Za-z0-9][A-Za-z0-9_.-]*", "a header's name, or `*` for any"), TypeName("header")
]


class Cors(Model):
    """Which pages' scripts may send spans over HTTP. Browsers reach the Collector by a route of NGINX or an ingress."""

    allowed_origins: list[Origin] = Field(
        min_length=1,
        description="Origins of the pages: https://host[:port]. One `*` may stand for any text in it.",
        examples=[["https://shop.example"]],
    )
    allowed_headers: list[CorsHeader] = Field(
        default_factory=list[str],
        description="Headers that scripts may set, besides Content-Type and those that browsers allow every page.",
        examples=[["x-client"]],
    )


class Receivers(Model):
    """How spans reach the Collector. It always takes OTLP over gRPC on port 4317, which NGINX needs."""

    http: bool = Field(
        default=False, description=f"Also take OTLP over HTTP on port {OTLP_HTTP_PORT}, for applications."
    )
    namespaces: list[LabelName] = Field(
        default_factory=list[str],
        description="Namespaces of applications whose pods network policies let send spans, besides NGINX.",
        examples=[["shop"]],
    )
    cors: Cors | None = Field(
        default=None, description="Which pages' scripts may send spans over HTTP. Unset: none. Needs `http`."
    )
