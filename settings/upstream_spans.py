"""Decides whether the Collector makes a span of its own of the time that an upstream took."""

from collections.abc import Iterator

from settings.errors import remove_command, set_command
from settings.nginx import NginxSettings
from settings.nginx_tree import parse
from settings.stack import Settings
from settings.versions.collector import distribution_of


def are_made(settings: Settings) -> bool:
    """Tells whether there are such spans: they are wanted and possible, and there is an upstream."""
    nginx = settings.nginx
    is_possible = settings.collector.enabled and settings.collector.has("transform")
    return nginx.upstream_spans is not False and is_possible and has_upstreams(nginx)


def has_upstreams(nginx: NginxSettings) -> bool:
    """Tells whether a route or a snippet has an upstream."""
    snippets = (nginx.extra_config.http, nginx.extra_config.server, *(route.extra_config for route in nginx.routes))
    return bool(nginx.upstreams) or any(
        each.name.endswith("_pass") for text in snippets for top in parse(text) for each in (top, *top.all_inside())
    )


def upstream_span_warnings(settings: Settings) -> Iterator[str]:
    """Yields a warning if there are none and no key says so, or if the Collector might not start because of them."""
    nginx, collector = settings.nginx, settings.collector
    if not collector.enabled or not has_upstreams(nginx):
        return
    if nginx.upstream_spans is None and not collector.has("transform"):
        able = set_command("collector.image", collector.version_set.collector_image("k8s"))
        change = able if collector.image else remove_command("collector.distribution")
        yield (
            "nginx.upstreamSpans is off, because the Collector's distribution core cannot make spans of upstreams: "
            f"traces do not show the way from NGINX to them. To change it: {change}. To leave it so: "
            f"{set_command('nginx.upstreamSpans', value=False)}"
        )
    if (
        are_made(settings)
        and collector.distribution is None
        and collector.image
        and not distribution_of(collector.image)
    ):
        yield (
            "collector.image has a name that shows no distribution, and counts as k8s: without the processor transform "
            f"it does not start. If it has none: {set_command('collector.distribution', 'core')}. If it has: "
            f"{set_command('collector.distribution', 'k8s')}"
        )
