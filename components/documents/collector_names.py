"""Builds the processors that give NGINX's spans the names and values of OpenTelemetry's stable conventions."""

from components.documents import Document
from settings.collector import SemanticConventions
from settings.snippets.ours import KNOWN_METHODS

NAMES, METHODS, VERSIONS, ERRORS = (f"attributes/{name}" for name in ("names", "methods", "versions", "errors"))

STABLE_NAMES = {
    "http.method": "http.request.method",
    "http.scheme": "url.scheme",
    "http.flavor": "network.protocol.version",
    "http.user_agent": "user_agent.original",
    "http.request_content_length": "http.request.body.size",
    "http.response_content_length": "http.response.body.size",
    "http.status_code": "http.response.status_code",
    "net.host.name": "server.address",
    "net.host.port": "server.port",
    "net.sock.peer.addr": "network.peer.address",
    "net.sock.peer.port": "network.peer.port",
}
"""The stable name of each attribute of the module that has one of its own.

Source: opentelemetry.io, "HTTP semantic convention stability migration guide".
`http.route` has the same name in both; `http.target` becomes `url.path` and `url.query`.
"""

KNOWN_METHOD = f"^({'|'.join(KNOWN_METHODS)})$"
OTHER_METHOD = "_OTHER"
"""The value of `http.request.method` for any other method, which `http.request.method_original` then has."""

_TARGET = "http.target"
_PARTS = {"path": "^(?P<url_path>[^?]*)", "query": r"\?(?P<url_query>.+)$"}
"""The patterns that split it. Go allows no dot in a group's name, which becomes that of an attribute."""

_METHOD, _ORIGINAL = "http.request.method", "http.request.method_original"
_VERSION, _STATUS, _ERROR = "network.protocol.version", "http.response.status_code", "error.type"


def names_processors(conventions: SemanticConventions) -> Document:
    """Returns the processors of NGINX's spans; none if these keep the module's names alone.

    They are `attributes`: every distribution has it, and it keeps the types of the values that it copies. One whose
    values differ from the module's has a processor of its own, which touches no other span.
    """
    if conventions == "old":
        return {}
    return {
        NAMES: {"include": _of_module(), "actions": _renaming(conventions)},
        METHODS: {
            "include": _of_module({"key": _METHOD}),
            "exclude": {"match_type": "regexp", "attributes": [{"key": _METHOD, "value": KNOWN_METHOD}]},
            "actions": [
                {"key": _ORIGINAL, "from_attribute": _METHOD, "action": "upsert"},
                {"key": _METHOD, "value": OTHER_METHOD, "action": "update"},
            ],
        },
        # The module writes HTTP/2 as `2.0`.
        VERSIONS: {
            "include": _of_module({"key": _VERSION, "value": r"^[23]\.0$"}),
            "actions": [
                {"key": _VERSION, "pattern": "^(?P<http_version>[23])", "action": "extract"},
                {"key": _VERSION, "from_attribute": "http_version", "action": "update"},
                {"key": "http_version", "action": "delete"},
            ],
        },
        # From 500 on the module's spans have the status ERROR.
        ERRORS: {
            "include": _of_module({"key": _STATUS, "value": "^[5-9][0-9][0-9]$"}),
            "actions": [
                # `insert`, because `nginx.spanAttributes` may tell more.
                {"key": _ERROR, "from_attribute": _STATUS, "action": "insert"},
                {"key": _ERROR, "action": "convert", "converted_type": "string"},
            ],
        },
    }


def _of_module(attribute: Document | None = None) -> Document:
    """Returns the condition for spans of the module, by its scope, and so for none of an application.

    Args:
        attribute: an attribute that they must have, with a pattern if it must have such a value.
    """
    match: Document = {"match_type": "strict", "libraries": [{"name": "nginx"}]}
    if attribute:
        match["attributes"] = [attribute]
    if attribute and "value" in attribute:
        match |= {"match_type": "regexp", "libraries": [{"name": "^nginx$"}]}
    return match


def _renaming(conventions: SemanticConventions) -> list[Document]:
    actions: list[Document] = []
    for part, pattern in _PARTS.items():
        actions += [
            {"key": _TARGET, "pattern": pattern, "action": "extract"},
            {"key": f"url.{part}", "from_attribute": f"url_{part}", "action": "upsert"},
            {"key": f"url_{part}", "action": "delete"},
        ]
    # `upsert`, because a span may have a stable name from `nginx.spanAttributes`, which can only make text.
    actions += [{"key": new, "from_attribute": old, "action": "upsert"} for old, new in STABLE_NAMES.items()]
    # The module writes the address of the client, behind `nginx.trustedProxies` too.
    actions.append({"key": "client.address", "from_attribute": "net.sock.peer.addr", "action": "upsert"})
    if conventions == "stable":
        actions += [{"key": old, "action": "delete"} for old in (_TARGET, *STABLE_NAMES)]
    return actions
