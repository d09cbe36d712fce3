"""The demo's two services: each is an NGINX, rendered by the template of the stack's own NGINX.

What a request gets, it gets by its trace's ID: the same one always waits, and always fails.
"""

from typing import Any

from settings import Settings
from settings.completed import with_names
from settings.demo import (
    DEMO_PATH,
    DEMO_PORT,
    FAILED_PERCENT,
    FAILED_STATUS,
    SHOP,
    SLOW_MILLISECONDS,
    SLOW_PERCENT,
    STOCK,
)
from settings.limits import batch_size
from settings.nginx import NginxSettings

PAUSE_PORT = 8083
"""The port of the shop's pauses, on the pod's loopback address."""

_PAUSES = f"""
split_clients "$otel_trace_id waits" $waits {{
    {SLOW_PERCENT}% on;
    * off;
}}
# NGINX has no directive that waits. It delays an answer 401 (`auth_delay`), which is all that this server makes.
server {{
    listen 127.0.0.1:{PAUSE_PORT};
    access_log off;

    location / {{
        auth_basic pause;
        auth_basic_user_file /dev/null;
        auth_delay {SLOW_MILLISECONDS}ms;
        error_page 401 =204 @waited;
    }}
    location @waited {{
        return 204;
    }}
}}
"""

_PAUSE = f"""
location = /pause {{
    internal;
    if ($pause = off) {{
        return 204;
    }}
    proxy_pass http://127.0.0.1:{PAUSE_PORT};
    proxy_pass_request_headers off;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
}}
"""

_WAITS = """
# Here, in the request itself: in the request for the pause the module knows no trace.
set $pause $waits;
auth_request /pause;
"""

_FAILURES = f"""
split_clients "$otel_trace_id fails" $fails {{
    {FAILED_PERCENT}% on;
    * off;
}}
"""

_FAILS = f"""
if ($fails = on) {{
    return {FAILED_STATUS} "{STOCK} fails {FAILED_PERCENT} % of the requests, so that there is an error to look at.\\n";
}}
"""


_SHARED, _OF_UPSTREAMS = ("access_log", "resolver", "shutdown"), ("upstream_spans",)
"""Keys of `nginx` that hold for the demo's services too; those for a service that sends requests on."""


def demo_settings(settings: Settings) -> dict[str, NginxSettings]:
    """Returns the settings of each service's NGINX, by the service's name.

    Args:
        settings: the whole configuration.
    """
    shop = {
        "routes": [
            {"path": DEMO_PATH, "upstream": {"service": STOCK, "port": DEMO_PORT}, "extraConfig": _WAITS},
        ],
        "extraConfig": {"http": _PAUSES, "server": _PAUSE},
    }
    answer = {"status": 200, "body": f"{STOCK} has it.\n"}
    stock = {
        "routes": [{"path": DEMO_PATH, "return": answer, "extraConfig": _FAILS}],
        "extraConfig": {"http": _FAILURES},
    }
    return {name: _service(name, own, settings) for name, own in {SHOP: shop, STOCK: stock}.items()}


def expected_trace(settings: Settings) -> dict[str, Any]:
    """Returns the path of the demo, and what a trace of it has: its services, in their order, and its spans' number.

    Each service makes a span, and with `nginx.upstreamSpans` each that sends requests on has another one for that.
    """
    services = [settings.nginx.service_name, *settings.demo.services]
    onward = len(services) - 1 if settings.nginx.upstream_spans else 0
    return {"path": DEMO_PATH, "services": services, "spans": len(services) + onward}


def _service(name: str, own: dict[str, Any], settings: Settings) -> NginxSettings:
    made = NginxSettings.model_validate({"serviceName": name, **own})
    keys = [*_SHARED, *(_OF_UPSTREAMS if made.upstreams else ())]
    shared = {key: getattr(settings.nginx, key) for key in keys}
    made = made.model_copy(update={**shared, "resources": settings.demo.resources})
    made = with_names(made, settings.collector)
    # So many spans in an export that the memory limit holds full buffers while the Collector hangs.
    spans = batch_size(settings.model_copy(update={"nginx": made}))
    return made.model_copy(update={"exporter": made.exporter.model_copy(update={"batch_size": spans})})
