"""Decides whether the Collector makes a span of its own of the time that an upstream took."""

from collections.abc import Iterator

from settings.errors import remove_command, set_command
from settings.nginx import NginxSettings
from settings.nginx_tree import parse
from settings.stack import Settings


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
    """Yields a warning if there are none because the Collector cannot make them, and nobody said that it shall not."""
    nginx, collector = settings.nginx, settings.collector
    if nginx.upstream_spans is None and settings.collector.enabled and not collector.has("transform"):
        if not has_upstreams(nginx):
            return
        place = ("collector", "image") if collector.image else ("collector", "distribution")
        image = collector.version_set.collector_image("k8s")
        change = set_command(place, image) if collector.image else remove_command(place)
        yield (
            "nginx.upstreamSpans is off, because the Collector's distribution core cannot make spans of upstreams: "
            f"traces do not show the way from NGINX to them. To change it: {change}. To leave it so: "
            f"{set_command('nginx.upstreamSpans', value=False)}"
        )
