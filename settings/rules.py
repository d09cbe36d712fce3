"""What settings cannot do together, known before anything is created.

Each rule is a function of the whole configuration; `errors_of` runs them all.
"""

import json
import re
from collections.abc import Callable, Iterator

from pydantic.alias_generators import to_camel

from settings.capabilities import (
    COMPONENTS,
    FIRST_WITH_HEADERS,
    FIRST_WITH_TLS,
    distribution_of,
    has_module,
    module_of,
)
from settings.cluster_rules import CLUSTER_RULES
from settings.collector import DEFAULT_IMAGES
from settings.errors import ConfigError, Place, RuleViolation, needs, path, remove_command, repeated, set_command
from settings.exporter_rules import EXPORTER_RULES, exporter_secrets
from settings.exposure_rules import EXPOSURE_RULES
from settings.general import Resources
from settings.image_rules import IMAGE_RULES
from settings.limit_rules import LIMIT_RULES
from settings.nginx import Return, Upstream
from settings.nginx_syntax import unknown_variable
from settings.plus_rules import PLUS_RULES
from settings.proxying_rules import PROXYING_RULES, upstream_secrets
from settings.snippets.rules import SNIPPET_RULES
from settings.stack import Settings
from settings.types import amount, is_address, seconds, split_address

IsSecret = Callable[[str], bool]
IsPlain = Callable[[Place], bool]


def violations_of(settings: Settings, is_secret: IsSecret, is_plain: IsPlain) -> Iterator[RuleViolation]:
    """Every broken rule.

    Args:
        settings: a configuration whose values are each valid.
        is_secret: whether a top-level key is a secret to Pulumi.
        is_plain: whether the stack's file has a place's value in plain text, as far as it can be read.
    """
    rules = (
        *_RULES,
        *SNIPPET_RULES,
        *PLUS_RULES,
        *CLUSTER_RULES,
        *EXPORTER_RULES,
        *IMAGE_RULES,
        *LIMIT_RULES,
        *EXPOSURE_RULES,
        *PROXYING_RULES,
    )
    for rule in rules:
        yield from rule(settings)
    yield from _secrets_in_plain_text(settings, is_secret, is_plain)


def _module(settings: Settings) -> Iterator[RuleViolation]:
    image: Place = ("nginx", "image")
    exporter = settings.nginx.exporter
    if settings.edition != "oss":
        return
    if has_module(settings.nginx.image) is False:
        yield RuleViolation(
            ConfigError(
                image,
                "has no OpenTelemetry module: take the official image with the tag <version>-otel, 1.25.3 or later",
                set_command(image, FIRST_WITH_TLS),
                json.dumps(settings.nginx.image),
            )
        )
        return
    module = module_of(settings.nginx.image)
    if module is None:
        return
    of_image = "which the OpenTelemetry module of `nginx.image` does not know"
    if exporter.headers and not module.headers:
        yield needs(("nginx", "exporter", "headers"), f"needs `header`, {of_image}", image, FIRST_WITH_HEADERS)
    if settings.nginx.resource_attributes and not module.resource_attributes:
        yield needs(("nginx", "resourceAttributes"), f"needs `otel_resource_attr`, {of_image}", image, FIRST_WITH_TLS)
    if (exporter.endpoint or "").startswith("https://") and not module.tls:
        yield needs(("nginx", "exporter", "endpoint"), f"needs TLS, {of_image}", image, FIRST_WITH_TLS)


def _nginx_exporter(settings: Settings) -> Iterator[RuleViolation]:
    exporter = settings.nginx.exporter
    endpoint: Place = ("nginx", "exporter", "endpoint")
    collector: Place = ("collector", "enabled")
    if exporter.endpoint is None:
        for name, is_set in (("headers", exporter.headers), ("caBundle", exporter.ca_bundle)):
            if is_set:
                yield needs(
                    ("nginx", "exporter", name),
                    "is for `nginx.exporter.endpoint`, which is not set: the stack's own Collector ignores it",
                    endpoint,
                    "https://collector.example:4317",
                )
        if not settings.collector.enabled:
            yield RuleViolation(
                ConfigError(
                    collector,
                    "must be true, or `nginx.exporter.endpoint` set: spans have nowhere to go",
                    set_command(collector, "true"),
                    "false",
                ),
                (endpoint,),
            )
        return
    if settings.collector.enabled:
        yield RuleViolation(
            ConfigError(
                endpoint,
                "takes the spans past the stack's Collector, which would get none; do without it",
                set_command(collector, "false"),
                json.dumps(exporter.endpoint),
            ),
            (collector,),
        )
    if exporter.ca_bundle and not exporter.endpoint.startswith("https://"):
        yield RuleViolation(
            ConfigError(
                ("nginx", "exporter", "caBundle"),
                "is for an endpoint with TLS: https://host:port",
                remove_command(("nginx", "exporter", "caBundle")),
            ),
            (endpoint,),
        )


def _autoscaling(settings: Settings) -> Iterator[RuleViolation]:
    nginx = settings.nginx
    if nginx.autoscaling and nginx.autoscaling.max_replicas < nginx.replicas:
        place: Place = ("nginx", "autoscaling", "maxReplicas")
        yield RuleViolation(
            ConfigError(
                place,
                f"must not be below `nginx.replicas`, which is {nginx.replicas}",
                set_command(place, nginx.replicas),
                str(nginx.autoscaling.max_replicas),
            ),
            (("nginx", "replicas"),),
        )


def _routes(settings: Settings) -> Iterator[RuleViolation]:
    routes = settings.nginx.routes
    for number, first in repeated((route.path, route.match) for route in routes):
        place: Place = ("nginx", "routes", number)
        yield RuleViolation(
            ConfigError(
                (*place, "path"),
                f"is that of {path(('nginx', 'routes', first))} too: a path has one route",
                remove_command(place),
                json.dumps(routes[number].path),
            )
        )


def _answers(settings: Settings) -> Iterator[RuleViolation]:
    for number, route in enumerate(settings.nginx.routes):
        place: Place = ("nginx", "routes", number)
        given = [name for name in ("upstream", "root", "return") if getattr(route, _FIELDS.get(name, name)) is not None]
        if not given and not route.extra_config:
            message = "is required, or `upstream` or `return`: nothing answers the route's requests"
            yield RuleViolation(
                ConfigError((*place, "root"), message, set_command((*place, "root"), "/usr/share/nginx/html"))
            )
        for name in given[1:]:
            message = f"must not be set beside `{given[0]}`: a route has one answer"
            yield RuleViolation(ConfigError((*place, name), message, remove_command((*place, name))))
        if not route.traced:
            of_spans = {
                "spanName": route.span_name,
                "spanAttributes": route.span_attributes,
                "sampling": route.sampling,
            }
            for name, value in of_spans.items():
                if value:
                    message = "is for requests that are traced, and `traced` is false"
                    yield RuleViolation(ConfigError((*place, name), message, remove_command((*place, name))))
        yield from _redirect((*place, "return"), route.return_)
        upstream = route.upstream
        if upstream and upstream.tls and upstream.host and is_address(upstream.host):
            message = "must have a host name with https://, which the certificate is checked against"
            example = f"https://api.shop.example:{upstream.port}"
            yield RuleViolation(ConfigError((*place, "upstream"), message, set_command((*place, "upstream"), example)))


_FIELDS = {"return": "return_"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def _redirect(place: Place, answer: Return | None) -> Iterator[RuleViolation]:
    if answer is None:
        return
    location: Place = (*place, "location")
    statuses = "301, 302, 303, 307 or 308"
    if answer.status in _REDIRECTS and answer.location is None:
        fix = set_command(location, "https://shop.example/")
        yield RuleViolation(ConfigError(location, f"is required with the status {statuses}", fix))
    if answer.status not in _REDIRECTS and answer.location is not None:
        yield RuleViolation(ConfigError(location, f"is for the status {statuses}", remove_command(location)))
    if answer.status in _REDIRECTS and answer.body is not None:
        body: Place = (*place, "body")
        yield RuleViolation(
            ConfigError(body, f"must not be set with the status {statuses}: NGINX sends its own", remove_command(body))
        )


def _variables(settings: Settings) -> Iterator[RuleViolation]:
    nginx = settings.nginx
    snippets = [nginx.extra_config.http, nginx.extra_config.server, *(route.extra_config for route in nginx.routes)]
    if settings.edition == "plus" and settings.plus.sampling_ratios:
        # nginx.conf itself makes it there.
        snippets.append("$sampling_ratio")
    others: tuple[Place, ...] = (
        ("nginx", "extraConfig"),
        ("nginx", "routes"),
        ("edition",),
        ("plus", "samplingRatios"),
    )
    for place, text in _templates(settings):
        message = unknown_variable(text, snippets, plus=settings.edition == "plus")
        if message:
            fix = set_command(place, "https://shop.example/") if place[-1] == "location" else remove_command(place)
            echoed = tuple(re.findall(r"`(\$\w+)` is none", message))
            yield RuleViolation(ConfigError(place, message, fix, json.dumps(text, ensure_ascii=False), echoed), others)


def _templates(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Every text in which NGINX replaces variables."""
    for name, value in settings.nginx.span_attributes.items():
        yield ("nginx", "spanAttributes", name), value
    for number, route in enumerate(settings.nginx.routes):
        place: Place = ("nginx", "routes", number)
        for name, value in route.span_attributes.items():
            yield (*place, "spanAttributes", name), value
        if route.span_name is not None:
            yield (*place, "spanName"), route.span_name
        answer = route.return_
        for name, value in (("body", answer.body), ("location", answer.location)) if answer else ():
            if value is not None:
                yield (*place, "return", name), value


def _attributes(settings: Settings) -> Iterator[RuleViolation]:
    if "service.name" in settings.nginx.resource_attributes:
        place: Place = ("nginx", "resourceAttributes", "service.name")
        yield RuleViolation(
            ConfigError(place, "is `nginx.serviceName`, which goes before it: set that", remove_command(place))
        )


def _collector_components(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    distribution: Place = ("collector", "distribution")
    of_image = distribution_of(collector.image or "")
    if of_image not in {None, collector.distribution}:
        yield RuleViolation(
            ConfigError(
                distribution,
                f"must be that of `collector.image`, which is {of_image}",
                set_command(distribution, of_image),
                json.dumps(collector.distribution),
            ),
            (("collector", "image"),),
        )
        return
    persistent = collector.queue.storage == "persistent"
    wanted: dict[str, tuple[Place, bool]] = {
        "processor tail_sampling": (("collector", "sampling", "tail"), collector.sampling.tail is not None),
        "processor k8sattributes": (("collector", "kubernetesAttributes"), collector.kubernetes_attributes),
        "extension file_storage": (("collector", "queue", "storage"), persistent),
    }
    fix = (distribution, "k8s") if of_image is None else (("collector", "image"), DEFAULT_IMAGES["k8s"])
    for kind_and_name, (place, is_set) in wanted.items():
        component = kind_and_name.split()[-1]
        if is_set and component not in COMPONENTS[collector.distribution]:
            having = " and ".join(name for name, components in COMPONENTS.items() if component in components)
            yield needs(
                place,
                f"needs the {kind_and_name}, which the distribution {collector.distribution} does not have; "
                f"{having} have it",
                *fix,
            )


def _collector_sampling(settings: Settings) -> Iterator[RuleViolation]:
    sampling = settings.collector.sampling
    place: Place = ("collector", "sampling", "tail")
    if sampling.tail is None:
        return
    if sampling.ratio is not None:
        ratio: Place = ("collector", "sampling", "ratio")
        yield RuleViolation(
            ConfigError(ratio, "must not be set beside `tail`, which has a `ratio` of its own", remove_command(ratio))
        )
    if not (sampling.tail.errors or sampling.tail.latency or sampling.tail.ratio is not None):
        yield RuleViolation(
            ConfigError(
                place,
                "must have a rule, or it keeps nothing: `errors`, `latency` or `ratio`",
                set_command((*place, "errors"), "true"),
            )
        )
    if settings.collector.replica_count > 1:
        replicas: Place = ("collector", "replicas")
        yield RuleViolation(
            ConfigError(
                replicas,
                "must be 1 with `collector.sampling.tail`: nothing sends all spans of a trace to the same replica",
                set_command(replicas, 1),
                str(settings.collector.replica_count),
            ),
            (place,),
        )


def _memory_limiter(settings: Settings) -> Iterator[RuleViolation]:
    limiter = settings.collector.memory_limiter
    if limiter.spike_limit_percentage >= limiter.limit_percentage:
        place: Place = ("collector", "memoryLimiter", "spikeLimitPercentage")
        yield RuleViolation(
            ConfigError(
                place,
                f"must be below `limitPercentage`, which is {limiter.limit_percentage}",
                set_command(place, 20 if limiter.limit_percentage > 20 else 1),
                str(limiter.spike_limit_percentage),
            )
        )


def _backends(settings: Settings) -> Iterator[RuleViolation]:
    enabled: Place = ("tempo", "enabled")
    exporters: Place = ("collector", "exporters")
    if "tempo" in settings.collector.exporters:
        yield RuleViolation(
            ConfigError(
                (*exporters, "tempo"),
                "must have another name: by `tempo` the probe and the alerts know the stack's own",
                remove_command((*exporters, "tempo")),
            )
        )
    if not settings.tempo.enabled and settings.collector.enabled and not settings.collector.exporters:
        yield RuleViolation(
            ConfigError(
                enabled,
                "must be true, or `collector.exporters` name a backend: spans have nowhere to go",
                set_command((*exporters, "mine", "endpoint"), "tempo.example:4317"),
                "false",
            ),
            (exporters,),
        )
    if settings.tempo.enabled and not settings.collector.enabled:
        yield RuleViolation(
            ConfigError(
                enabled,
                "must be false without the stack's Collector: no span would reach Tempo",
                set_command(enabled, "false"),
                "true",
            ),
            (("collector", "enabled"),),
        )


def _batch(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    gathers = collector.queue.storage == "memory" or collector.sampling.tail is not None
    if not gathers and "batch" in collector.model_fields_set:
        place: Place = ("collector", "batch")
        message = "is for a queue in memory or behind tail sampling: a persistent one keeps each export as it came"
        yield RuleViolation(ConfigError(place, message, remove_command(place)), (("collector", "queue", "storage"),))


def _applications(settings: Settings) -> Iterator[RuleViolation]:
    receivers = settings.collector.receivers
    if receivers.cors or any(_is_for_http(route.upstream) for route in settings.nginx.routes):
        # For browsers, which NGINX lets in: its pods may send there.
        return
    if settings.collector.enabled and settings.network_policies and receivers.http and not receivers.namespaces:
        place: Place = ("collector", "receivers", "namespaces", 0)
        message = "is for applications, and none may come in: `collector.receivers.namespaces` is to name theirs"
        others: tuple[Place, ...] = (("collector", "receivers", "namespaces"), ("networkPolicies",))
        http: Place = ("collector", "receivers", "http")
        yield RuleViolation(ConfigError(http, message, set_command(place, "shop"), "true"), others)


def _is_for_http(upstream: Upstream | None) -> bool:
    """Whether a route leads to the Collector's port of OTLP over HTTP."""
    if upstream is None or upstream.port != 4318:
        return False
    return (upstream.service or upstream.host or "").split(".")[0] == "otel-collector"


def _exporter_tls(settings: Settings) -> Iterator[RuleViolation]:
    for name, exporter in settings.collector.exporters.items():
        place: Place = ("collector", "exporters", name)
        scheme = exporter.endpoint.split("://")[0] if "://" in exporter.endpoint else ""
        tls: Place = (*place, "tls", "enabled")
        if scheme == "http" and exporter.tls.enabled:
            yield RuleViolation(
                ConfigError(tls, "must be false for an endpoint with http://", set_command(tls, "false"), "true")
            )
        if scheme == "https" and not exporter.tls.enabled:
            yield RuleViolation(
                ConfigError(tls, "must be true for an endpoint with https://", set_command(tls, "true"), "false")
            )
        if exporter.tls.ca_bundle and not exporter.tls.enabled:
            bundle: Place = (*place, "tls", "caBundle")
            yield RuleViolation(
                ConfigError(bundle, "is for a connection with TLS, which is off", remove_command(bundle))
            )
        endpoint: Place = (*place, "endpoint")
        shown = json.dumps(exporter.endpoint)
        if exporter.protocol == "http" and not scheme:
            example = f"{'https' if exporter.tls.enabled else 'http'}://otlp.vendor.example:4318"
            yield RuleViolation(
                ConfigError(endpoint, "must be a URL for OTLP over HTTP", set_command(endpoint, example), shown)
            )
        if exporter.protocol == "grpc" and split_address(exporter.endpoint.removeprefix(f"{scheme}://")) is None:
            protocol: Place = (*place, "protocol")
            message = "must be host:port for OTLP over gRPC, which has no path and no usual port"
            yield RuleViolation(ConfigError(endpoint, message, set_command(protocol, "http"), shown), (protocol,))


def _tempo(settings: Settings) -> Iterator[RuleViolation]:
    tempo = settings.tempo
    replicas: Place = ("tempo", "replicas")
    if tempo.replicas > 1:
        yield RuleViolation(
            ConfigError(
                replicas,
                "must be 1: each of several replicas with local storage would know a part of the traces",
                set_command(replicas, 1),
                str(tempo.replicas),
            )
        )
    poll: Place = ("tempo", "flush", "blocklistPoll")
    for place, value in (
        (("tempo", "retention"), tempo.retention),
        (("tempo", "flush", "completeBlockTimeout"), tempo.flush.complete_block_timeout),
    ):
        # Tempo's own check: otherwise a block is gone from the one before the other has seen it.
        if seconds(value) < seconds(tempo.flush.blocklist_poll):
            yield RuleViolation(
                ConfigError(
                    place,
                    f"must not be shorter than `tempo.flush.blocklistPoll`, which is {tempo.flush.blocklist_poll}",
                    set_command(place, tempo.flush.blocklist_poll),
                    json.dumps(value),
                    (tempo.flush.blocklist_poll,),
                ),
                (poll,),
            )
    storage_class: Place = ("tempo", "persistence", "storageClass")
    if tempo.persistence.storage_class and not tempo.persistence.size:
        yield needs(storage_class, "is for a volume, which has no size yet", ("tempo", "persistence", "size"), "10Gi")


def _node_ports(settings: Settings) -> Iterator[RuleViolation]:
    place: Place = ("tempo", "nodePort")
    if settings.tempo.enabled and settings.tempo.node_port and settings.tempo.node_port == settings.nginx.node_port:
        yield RuleViolation(
            ConfigError(
                place,
                "is `nginx.nodePort` too: a port of the nodes belongs to one Service",
                remove_command(place),
                str(settings.tempo.node_port),
            ),
            (("nginx", "nodePort"),),
        )


def _resources(settings: Settings) -> Iterator[RuleViolation]:
    by_place: dict[Place, Resources] = {
        ("nginx",): settings.nginx.resources,
        ("collector",): settings.collector.resources,
        ("tempo",): settings.tempo.resources,
        ("tempo", "gateway"): settings.tempo.gateway.resources,
    }
    for of_container, resources in by_place.items():
        pairs = (("memory", resources.memory, resources.memory_limit), ("cpu", resources.cpu, resources.cpu_limit))
        for name, asked, limit in pairs:
            if limit is not None and amount(asked) > amount(limit):
                place: Place = (*of_container, "resources", name)
                yield RuleViolation(
                    ConfigError(
                        place,
                        f"must not be more than `{'.'.join(map(str, of_container))}.resources.{name}Limit`, "
                        f"which is {limit}",
                        set_command(place, limit),
                        json.dumps(asked),
                        (limit,),
                    )
                )


def _tolerations(settings: Settings) -> Iterator[RuleViolation]:
    for number, toleration in enumerate(settings.scheduling.tolerations):
        place: Place = ("scheduling", "tolerations", number)
        if (toleration.operator == "Equal") != (toleration.value is not None):
            yield RuleViolation(
                ConfigError(
                    (*place, "operator"),
                    "must be Equal with a `value`, and Exists without one",
                    set_command((*place, "operator"), "Exists" if toleration.value is None else "Equal"),
                    json.dumps(toleration.operator),
                )
            )
        if toleration.key is None and toleration.operator == "Equal":
            yield RuleViolation(
                ConfigError(
                    (*place, "key"),
                    "is required with the operator Equal",
                    set_command((*place, "key"), "dedicated"),
                )
            )


def _topology_spread(settings: Settings) -> Iterator[RuleViolation]:
    spreads = settings.scheduling.topology_spread
    for number, _ in repeated((spread.topology_key, spread.when_unsatisfiable) for spread in spreads):
        place: Place = ("scheduling", "topologySpread", number)
        spread = spreads[number]
        yield RuleViolation(
            ConfigError(
                (*place, "topologyKey"),
                f"is there twice with `whenUnsatisfiable` {spread.when_unsatisfiable}: Kubernetes takes it once",
                remove_command(place),
                json.dumps(spread.topology_key),
            )
        )


def _registry(settings: Settings) -> Iterator[RuleViolation]:
    username: Place = ("registryUsername",)
    password: Place = ("registryPassword",)
    if settings.registry_password and not settings.registry_username:
        yield RuleViolation(
            ConfigError(username, "is required beside `registryPassword`", set_command(username, "puller")), (password,)
        )
    if settings.registry_username and not settings.registry_password:
        yield RuleViolation(
            ConfigError(password, "is required beside `registryUsername`", set_command(password, "", secret=True)),
            (username,),
        )
    if settings.registry_username and len(settings.registries()) > 1:
        named = ", ".join(sorted(settings.registries()))
        yield RuleViolation(
            ConfigError(
                username,
                f"is a user of which registry? The images are pulled from {named}",
                set_command(("registryAddress",), sorted(settings.registries())[0]),
            ),
            (
                ("nginx", "image"),
                ("plus",),
                ("collector", "image"),
                ("tempo", "image"),
                ("imageRegistry",),
                ("registryAddress",),
            ),
        )


def _secrets_in_plain_text(settings: Settings, is_secret: IsSecret, is_plain: IsPlain) -> Iterator[RuleViolation]:
    """Secrets that the stack's file would show to everyone who reads it.

    Pulumi tells which top-level keys have a secret in them, not where: beside one that is encrypted, the file tells.
    """
    for place in _secret_places(settings):
        if not is_secret(str(place[0])) or is_plain(place):
            yield RuleViolation(
                ConfigError(
                    place,
                    "must be a secret: it is in plain text in the stack's file",
                    set_command(place, "", secret=True),
                    "[secret]",
                )
            )


def secrets_made_plain(settings: Settings, is_secret: IsSecret) -> Iterator[str]:
    """Warnings of values that are encrypted in the stack's file, and nowhere else.

    Pulumi tells which top-level keys have a secret in them, not where: of a key that has one which stays secret,
    nothing is known of the others.
    """
    kept = {str(place[0]) for place in _secret_places(settings)}
    # In the order of the model: that of the set differs from run to run.
    for key in (to_camel(name) for name in type(settings).model_fields if name in settings.model_fields_set):
        if key not in kept and is_secret(key):
            yield (
                f"{key} is encrypted in the stack's file, and nothing in it stays secret: its values are plain text in "
                "the cluster's objects, in previews and in the state. What stays secret is `registryPassword`, "
                "`tempoPassword`, the three secrets of NGINX Plus, what is in `headers`, `clientKey` and the proxy's "
                "`password`"
            )


def _secret_places(settings: Settings) -> list[Place]:
    of_stack = {
        "registryPassword": settings.registry_password,
        "tempoPassword": settings.tempo_password,
        "nginxLicenseJwt": settings.nginx_license_jwt,
        "nginxRepoCrt": settings.nginx_repo_crt,
        "nginxRepoKey": settings.nginx_repo_key,
    }
    of_exporters = exporter_secrets(settings) + upstream_secrets(settings)
    return of_exporters + [(key,) for key, secret in of_stack.items() if secret]


_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (
    _module,
    _nginx_exporter,
    _autoscaling,
    _routes,
    _attributes,
    _answers,
    _variables,
    _collector_components,
    _collector_sampling,
    _memory_limiter,
    _backends,
    _batch,
    _applications,
    _exporter_tls,
    _tempo,
    _node_ports,
    _resources,
    _tolerations,
    _topology_spread,
    _registry,
)
