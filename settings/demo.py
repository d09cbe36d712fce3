"""The demo: two small services behind NGINX, so that a trace has hops to look at."""

from typing import Annotated

from pydantic import Field

from settings.general import Resources
from settings.routes import Route
from settings.snippets.ours import HTTP_PORT
from settings.types import Bytes, Cpu, MemoryLimit, Model, TypeName, at_least

DEMO_PATH = "/demo/"
"""The path of NGINX that leads to the demo, and the one that both services answer."""

SHOP, STOCK = "demo-shop", "demo-stock"
"""The services' names: of their Kubernetes objects, and `service.name` of their spans. The shop asks the stock."""

DEMO_SERVICES = (SHOP, STOCK)
"""Both, in the order of a request's way."""

DEMO_PORT = HTTP_PORT
"""The port of both Services, and of their pods."""

SLOW_PERCENT, SLOW_MILLISECONDS = 20, 400
"""The share of requests with which the shop waits, and how long. Our choice: a person sees it among twenty requests,
and the other requests take a hundredth of that."""

FAILED_PERCENT, FAILED_STATUS = 10, 503
"""The share of requests that the stock fails, and how. Our choice; NGINX itself answers 502 or 504 for an upstream that
is away."""

_LEAST_MEMORY = "64Mi"

_DemoMemory = Annotated[
    MemoryLimit, at_least(_LEAST_MEMORY, "an NGINX and the spans that it holds need that"), TypeName("bytes")
]


class DemoResources(Resources):
    """Resources of each of the demo's containers."""

    cpu: Cpu = Field(default="10m", description="CPU request.")
    memory: Bytes = Field(default="32Mi", description="Memory request.")
    memory_limit: _DemoMemory = Field(
        default="128Mi",
        description=f"Memory above which the kernel ends the container; at least {_LEAST_MEMORY}. Buffers of spans "
        "take what the program itself leaves.",
    )


class DemoSettings(Model):
    """Two small services behind NGINX, to see traces with hops before an application of your own is there."""

    enabled: bool = Field(
        default=False,
        description=f"Run them, and lead NGINX's path `{DEMO_PATH}` to them. `{SHOP}` asks `{STOCK}`; with "
        f"{SLOW_PERCENT} % of the requests `{SHOP}` waits {SLOW_MILLISECONDS} ms, and `{STOCK}` answers "
        f"{FAILED_PERCENT} % with {FAILED_STATUS}. `make up` turns it on for its own stack. Needs the stack's "
        "Collector. Both run open-source NGINX, of `nginx.image`, also with the edition plus.",
    )
    resources: DemoResources = Field(
        default_factory=DemoResources, description="Resources of each service's container."
    )

    @property
    def services(self) -> tuple[str, ...]:
        """The services that run, in the order of a request's way."""
        return DEMO_SERVICES if self.enabled else ()


def demo_route() -> Route:
    """Returns the route of the stack's NGINX to the demo.

    It passes the trace context on, whatever `nginx.traceContext` says for other routes.
    """
    upstream = {"service": SHOP, "port": DEMO_PORT}
    return Route.model_validate({"path": DEMO_PATH, "upstream": upstream, "traceContext": "propagate"})
