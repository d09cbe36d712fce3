"""Names what the program itself writes into nginx.conf and snippets must leave alone.

`components.documents.nginx` renders from these values, so that rules and document cannot disagree.
"""

HTTP_PORT = 8080
"""The port of the routes, and the only one that NGINX's Service and network policies open."""

HEALTH_PORT = 8081
"""The port of Kubernetes' probes and of Prometheus."""

API_PORT = 8082
"""The port of NGINX Plus' API, on the pod's loopback address, where `kubectl port-forward` reaches it."""

UPSTREAM_PREFIX = "to_"
"""How the names of the program's own `upstream` blocks begin."""

UPSTREAM_ATTRIBUTE = "nginx.upstream"
"""The span attribute by which NGINX tells the Collector of upstreams, and how the names of others about them begin."""

UPSTREAM_MARK = "X-Upstream-Mark"
"""The header, never sent, by which NGINX notes when it turns to an upstream."""

KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
"""The methods of RFC 9110 and RFC 5789, which are those that OpenTelemetry's conventions know."""

METHOD_VARIABLE = "$method_in_span_name"
"""The variable with a request's method, or `HTTP` for one that no standard has: clients must not make up names."""

UPSTREAM_TOLD = "|".join(
    (METHOD_VARIABLE, "$upstream_last", "$upstream_after", "$upstream_addr", "$upstream_status")
    + ("$upstream_header_time", "$upstream_response_time")
)
"""The value of `UPSTREAM_ATTRIBUTE`; `$upstream_last` has three parts: host, port and Service.

Those from `$upstream_addr` on are lists if NGINX tried several upstreams.
"""

UPSTREAM_VARIABLES = frozenset(
    f"upstream_{name}" for name in ("named", "after", "first", "noted", "mark", "last", "told")
) | {METHOD_VARIABLE.removeprefix("$")}
"""The variables that NGINX makes to tell of upstreams, without `$`."""

LOG_FILE = "/dev/stdout"
LOG_BUFFER = {"buffer": "4k", "flush": "100ms"}
"""How the program writes its access log: in pieces that a pipe takes whole (4 KiB is Linux' PIPE_BUF)."""

HEADER_LOG_FORMAT = "traced"
"""The log format of requests whose `traceparent` header shows whether they are traced."""

RATIO_VARIABLE = "$sampling_ratio"
"""The variable that NGINX Plus fills from its key-value store, with `plus.samplingRatios`."""
