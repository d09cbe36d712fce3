"""Routes of NGINX: what answers a path, and how its requests are traced."""

import re
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field

from settings.nginx_syntax import snippet
from settings.types import Lines, LiteralText, Model, NearMissError, Ratio, TemplateText, TypeName
from settings.upstreams import Upstream

TraceContext = Literal["propagate", "extract", "inject", "ignore"]


_PATTERN = re.compile(
    r"""
    \.\* | \.\+(?=[/)$]|$) | [\^|\\] | \$$       # regular expressions
    | \[(?:\w-\w|[_.-])+\] | \][*+]              # `[0-9]` and `[ab]+`; `[slug]` is a file's name with Next.js
    | /\*+/                                      # globs
    | /:\w+(?=[/.?(*+]|$)                        # `/:id`; SharePoint has `/:w:/`
    | /\{\*?[\w-]+(?::[^/}]*)?\}(?=[/.]|$)       # `/{id}`
    | /<(?:\w+:)?\w+>                            # `/<int:id>`
    """,
    re.VERBOSE,
)
"""Patterns as frameworks and ingresses write them, which are hardly ever meant letter for letter."""


def _beginning(pattern: str) -> str:
    """Returns the folder that all paths of a pattern are in; an empty text for `/`, which is every path."""
    literal = re.split(r"[\\^$*+?()\[\]{}|<]|\.[*+]|(?<=/):", pattern)[0]
    folder = f"{literal}/" if pattern.startswith("(/", len(literal)) else literal[: literal.rfind("/") + 1]
    return folder if folder != "/" and _is_clean(folder) else ""


def _is_clean(path: str) -> bool:
    return re.search(r"%[0-9a-fA-F]{2}|[?#]|//|/\.\.?(/|$)", path) is None


def _path(path: str) -> str:
    """Checks the path of a route.

    No error proposes `/` for a path that means less: a `return` with 403 would then answer every request.
    """
    modifier = re.match(r"(\^~|~\*|~|=|@)", path)
    if modifier and "~" in modifier[1][:1]:
        message = (
            "must begin with `/`: a route is no regular expression; write a `location` with one in "
            "`nginx.extraConfig.server`"
        )
        raise NearMissError(message, "")
    if modifier and modifier[1] == "=":
        raise NearMissError("must begin with `/`: for this path alone set `match` to exact", "")
    if not path.startswith("/"):
        proposed = f"/{path}" if re.fullmatch(r"[\w-]+(/[\w-]+)*/?", path) else ""
        raise NearMissError("must begin with `/`", proposed)
    if path.endswith("*") and not _PATTERN.search(path.rstrip("*")) and not path.endswith((".*", ")*", "]*")):
        shorter = path.rstrip("*")
        raise NearMissError(f"must not end in `*`: a path is the beginning of all below it: {shorter}", shorter)
    if _PATTERN.search(path):
        message = (
            "must be no pattern: NGINX compares its letters as they are. Write its beginning, or a `location` with a "
            "regular expression in `nginx.extraConfig.server`"
        )
        raise NearMissError(message, _beginning(path))
    # NGINX decodes and cleans the path of a request before it compares.
    if re.search(r"%[0-9a-fA-F]{2}", path):
        message = "must be written decoded: NGINX decodes the path of a request before it compares"
        decoded = unquote(path)
        raise NearMissError(message, decoded if decoded.isprintable() and _is_clean(decoded) else "")
    if "?" in path or "#" in path:
        message = "must be a path alone: a query or fragment is never part of what NGINX compares"
        raise NearMissError(message, "")
    if not _is_clean(path):
        message = "must not have `//`, `/./` or `/../`: NGINX removes them from a request before it compares"
        raise NearMissError(message, "")
    return path


def _folder(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("must be the path of a folder in the image, which begins with `/`")
    if "$" in path:
        raise ValueError("must not have a `$`: NGINX would take it for a variable")
    return path


def _location(url: str) -> str:
    if not re.fullmatch(r"(/|https?://.|\$.)[!-~]*", url):
        raise ValueError(
            "must begin with /, http://, https:// or a variable, and be of ASCII characters without spaces"
        )
    return url


def _hundredths_of_a_percent(ratio: Decimal) -> Decimal:
    if ratio != round(ratio, 4):
        raise ValueError("must be in steps of 0.0001: NGINX's split_clients counts in hundredths of a percent")
    return ratio


Snippet = Annotated[str, AfterValidator(snippet), TypeName("directives")]
Path = Annotated[LiteralText, AfterValidator(_path), TypeName("path")]
Folder = Annotated[LiteralText, AfterValidator(_folder), TypeName("folder")]
SamplingRatio = Annotated[Ratio, AfterValidator(_hundredths_of_a_percent)]
Location = Annotated[TemplateText, AfterValidator(_location), TypeName("URL with NGINX variables")]
AttributeName = Annotated[LiteralText, TypeName("attribute")]


class Sampling(Model):
    """Which requests NGINX traces."""

    ratio: SamplingRatio = Field(
        default=Decimal(1), description="Share of the requests that NGINX traces, in steps of 0.0001.", examples=["0.1"]
    )
    parent_based: bool = Field(
        default=True,
        description="Follow the request's `traceparent` if it has one, and apply `ratio` to the others. `false`: apply "
        "`ratio` to all requests, whatever clients ask for.",
    )


class Return(Model):
    """An answer that NGINX gives itself."""

    # HTTP's final status codes (RFC 9110, section 15): 1xx are not final.
    status: Annotated[int, Field(ge=200, le=599, strict=True)] = Field(description="Status code.", examples=[204])
    body: Lines | None = Field(default=None, description="The answer's text.", examples=["ok"])
    location: Location | None = Field(
        default=None,
        description="Where a redirect (301, 302, 303, 307, 308) leads: a URL, or a path on this host.",
        examples=["https://shop.example/"],
    )


class Route(Model):
    """A path, what answers its requests, and how NGINX traces them."""

    path: Path = Field(
        description="Path of the requests: its beginning, or all of it, as `match` says.", examples=["/"]
    )
    match: Literal["prefix", "exact"] = Field(
        default="prefix",
        description="Whether `path` is the beginning of requests' paths (the longest wins), or all of it.",
    )
    upstream: Annotated[Upstream | None, TypeName("address, or object")] = Field(
        default=None,
        description="Where NGINX sends requests: `host:port`, `https://host`, or a Service of the cluster. WebSockets "
        "work; NGINX ends one after a minute without a byte, unless `proxy_read_timeout` in `extraConfig` is longer.",
        examples=["192.0.2.20:8080"],
    )
    root: Folder | None = Field(
        default=None, description="Folder in the image whose files NGINX serves.", examples=["/usr/share/nginx/html"]
    )
    return_: Return | None = Field(default=None, alias="return", description="An answer that NGINX gives itself.")
    traced: bool = Field(
        default=True,
        description="Whether requests make spans. `false`, for example for health checks, passes the client's trace "
        "context on unchanged.",
    )
    span_name: TemplateText | None = Field(
        default=None, description="Name of the spans. Unset: the path.", examples=["$request_method $uri"]
    )
    span_attributes: dict[AttributeName, TemplateText] = Field(
        default_factory=dict[str, str], description="Attributes of the spans, besides `nginx.spanAttributes`."
    )
    sampling: Sampling | None = Field(default=None, description="Which requests NGINX traces. Unset: `nginx.sampling`.")
    trace_context: TraceContext | None = Field(
        default=None,
        description="What NGINX does with `traceparent`. Unset: `nginx.traceContext`, or `ignore` if `traced` is "
        "false.",
        examples=["propagate"],
    )
    extra_config: Snippet = Field(
        default="",
        description="Directives for the `location` block, for everything that has no key. They replace the program's "
        "own, or join them if NGINX takes several.",
        examples=["client_max_body_size 10m;"],
    )
