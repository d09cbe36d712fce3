"""Refuses settings of upstreams, of proxies before NGINX and of span attributes that cannot work together."""

from collections.abc import Callable, Iterator

from settings.errors import Place, RuleViolation, needs, remove_command, set_command, shown, violation
from settings.license import belong_together
from settings.sampling import RATIO, WEIGHT
from settings.snippets.ours import UPSTREAM_ATTRIBUTE
from settings.stack import Settings
from settings.types import bracketed
from settings.upstreams import Upstream, service_of
from settings.versions import SETS
from settings.versions.nginx import FOLLOWS_NAMES, follows_names
from settings.versions.sets import DEFAULT

OF_THE_PROGRAM = {
    UPSTREAM_ATTRIBUTE: "by it the Collector makes spans of upstreams (`nginx.upstreamSpans`)",
    RATIO: "by it Tempo's metrics multiply spans that are sampled",
    WEIGHT: "by it queries count the requests that a sampled span stands for",
}
"""By attribute that the program sets: what it is for."""

OF_THE_MODULE = {
    "http.method": "the Collector writes `http.request.method` beside it",
    "http.target": "the Collector writes `url.path` and `url.query` beside it",
    "http.route": "its value is the route's `path`",
    "http.scheme": "the Collector writes `url.scheme` beside it",
    "http.flavor": "the Collector writes `network.protocol.version` beside it",
    "http.user_agent": "the Collector writes `user_agent.original` beside it",
    "http.request_content_length": "the Collector writes `http.request.body.size` beside it",
    "http.response_content_length": "the Collector writes `http.response.body.size` beside it",
    "http.status_code": "the Collector writes `http.response.status_code` beside it",
    "net.host.name": "its value is the first of `nginx.serverName`",
    "net.host.port": "its value is the port of NGINX' pod",
    "net.sock.peer.addr": "its value is the client's address, with `nginx.trustedProxies` behind proxies too",
    "net.sock.peer.port": "its value is the client's port",
}
"""By attribute that ngx_otel_module sets on every span: what a person can do instead of setting it.

Source: `addDefaultAttrs` in the module. It keeps a second attribute of the same name beside its own, and a reader shows
either of them.
"""


def upstream_secrets(settings: Settings) -> list[Place]:
    """Returns the places of the upstreams' secrets."""
    return [(*place, "clientKey") for place, upstream in placed_upstreams(settings) if upstream.client_key is not None]


def placed_upstreams(settings: Settings) -> Iterator[tuple[Place, Upstream]]:
    """Yields each route's upstream with its place."""
    for number, route in enumerate(settings.nginx.routes):
        if route.upstream:
            yield ("nginx", "routes", number, "upstream"), route.upstream


def _following(settings: Settings) -> Iterator[RuleViolation]:
    """Refuses upstreams with names if the image's NGINX cannot follow names."""
    routes = settings.nginx.all_routes
    named = [route.upstream for route in routes if route.upstream and route.upstream.has_name]
    runs_image = settings.edition == "oss" or settings.demo.enabled
    is_old = runs_image and follows_names(settings.nginx.pulled_image) is False
    if named and is_old and settings.nginx.resolver.follow:
        version = ".".join(map(str, FOLLOWS_NAMES))
        name = named[0].name(settings.namespace)
        yield violation(
            "nginx.image",
            f"must be of NGINX {version} or later, which follows the addresses behind `{name}`; or set "
            "`nginx.resolver.follow` to false: NGINX then looks them up only once, when it starts",
            set_to=SETS[DEFAULT].nginx_image,
            depends_on=["nginx.routes", "nginx.resolver", "edition", "demo.enabled"],
            echoed=[name],
        )


def _resolver(settings: Settings) -> Iterator[RuleViolation]:
    resolver = settings.nginx.resolver
    if resolver.addresses and not resolver.follow:
        message = "is for names that are followed, and `nginx.resolver.follow` is false"
        yield violation("nginx.resolver.addresses", message, depends_on=["nginx.resolver.follow"])
    if "cluster_domain" in resolver.model_fields_set and not resolver.addresses:
        message = "is for `nginx.resolver.addresses`: without those each pod reads the cluster's domain when it starts"
        yield violation("nginx.resolver.clusterDomain", message, depends_on=["nginx.resolver.addresses"])


def _names(settings: Settings) -> Iterator[RuleViolation]:
    if not settings.nginx.resolver.follow:
        return
    for place, upstream in placed_upstreams(settings):
        if not upstream.is_ambiguous or upstream.host is None:
            continue
        service, namespace = upstream.host.lower().split(".")
        scheme = "https://" if upstream.tls else ""
        yield violation(
            place,
            f"may be the Service `{service}` of the namespace `{namespace}`, which is written "
            f"{scheme}{service}.{namespace}.svc:{upstream.port}, or a host, which is written with a point at its "
            f"end: NGINX looks up complete names only",
            fix=set_command(place, f"{scheme}{bracketed(upstream.host)}.:{upstream.port}")
            if upstream.is_text
            else set_command((*place, "host"), f"{upstream.host}."),
            depends_on=["nginx.resolver"],
            echoed=[service, namespace, upstream.host],
            shows=shown(f"{scheme}{upstream.host}:{upstream.port}"),
        )


def _itself(settings: Settings) -> Iterator[RuleViolation]:
    """Refuses an upstream that is the stack's own NGINX: an application of that name whose namespace was forgotten."""
    for place, upstream in placed_upstreams(settings):
        name = upstream.name(settings.namespace)
        if service_of(name, settings.namespace) == ("nginx", settings.namespace):
            yield violation(
                place,
                "is the stack's own NGINX: requests would loop until none is answered",
                fix=remove_command(place[:3]),
                depends_on=["namespace"],
                echoed=[name],
                shows=shown(f"{name}:{upstream.port}"),
            )


def _upstream_tls(settings: Settings) -> Iterator[RuleViolation]:
    for place, upstream in placed_upstreams(settings):
        given = {
            "caBundle": upstream.ca_bundle,
            "clientCertificate": upstream.client_certificate,
            "clientKey": upstream.client_key,
        }
        if not upstream.tls:
            for name in (name for name, value in given.items() if value is not None):
                yield needs((*place, name), "is for an upstream in HTTPS", (*place, "tls"), "true")
            continue
        yield from _pair(place, upstream)


def _pair(place: Place, upstream: Upstream) -> Iterator[RuleViolation]:
    certificate, key = upstream.client_certificate, upstream.client_key
    place_of_key: Place = (*place, "clientKey")
    if certificate is not None and key is None:
        message = "is required beside `clientCertificate`"
        yield violation(place_of_key, message, fix=set_command(place_of_key, "", secret=True))
    if key is not None and certificate is None:
        yield violation(place_of_key, "is the key of `clientCertificate`, which is not set")
    if key is not None and certificate is not None and not belong_together(certificate, key.get_secret_value()):
        message = "must be the key of the first certificate in `clientCertificate`, and is the key of another one"
        yield violation(place_of_key, message, fix=set_command(place_of_key, "", secret=True))


def _attributes(settings: Settings) -> Iterator[RuleViolation]:
    groups = [(("nginx", "spanAttributes"), settings.nginx.span_attributes)]
    groups += [
        (("nginx", "routes", number, "spanAttributes"), route.span_attributes)
        for number, route in enumerate(settings.nginx.routes)
    ]
    for group, attributes in groups:
        for name in attributes:
            if name in OF_THE_MODULE:
                message = f"is set by the module itself, on every span: {OF_THE_MODULE[name]}"
                yield violation((*group, name), message)
            if name in OF_THE_PROGRAM:
                yield violation((*group, name), f"is the program's own: {OF_THE_PROGRAM[name]}")


PROXYING_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (
    _following,
    _resolver,
    _names,
    _itself,
    _upstream_tls,
    _attributes,
)
