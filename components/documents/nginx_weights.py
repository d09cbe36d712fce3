"""Plans the attributes by which sampled spans say how many requests each stands for (`settings.sampling`).

A request with a `traceparent` follows it if sampling is parent-based: which share of its like the caller samples is not
known here. Such a span stands for itself, as far as NGINX knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from components.documents.nginx_sampling import plain
from settings.nginx import NginxSettings, Sampling
from settings.plus import PlusSettings
from settings.sampling import RATIO, WEIGHT, samples, weight
from settings.snippets.ours import RATIO_VARIABLE

_PARENT = "$otel_parent_id"


@dataclass(frozen=True)
class Map:
    """A variable whose value depends on another one's."""

    source: str
    variable: str
    cases: tuple[tuple[str, str], ...]
    default: str


@dataclass(frozen=True)
class WeightPlan:
    """All that nginx.conf needs for these attributes: nothing if NGINX traces every request, or none."""

    maps: tuple[Map, ...]
    server: Mapping[str, str]
    """The attributes of the server's spans."""

    routes: tuple[Mapping[str, str] | None, ...]
    """Those of each route's; none for those of the server's."""


def plan_weights(settings: NginxSettings, plus: PlusSettings | None, kept: Decimal) -> WeightPlan:
    """Plans the attributes of a configuration.

    Args:
        settings: what can be configured.
        plus: what can be configured of NGINX Plus; none for NGINX, open source.
        kept: the share of NGINX's spans that the Collector sends on.
    """
    if not samples(settings, plus):
        return WeightPlan((), {}, (None,) * len(settings.all_routes))
    maps: dict[Map, None] = {}
    ratios = plus.sampling_ratios if plus else []
    server = _at_run_time(settings.sampling, ratios, kept, maps) if ratios else _of(settings.sampling, kept, maps)
    routes = tuple(_of(route.sampling, kept, maps) if route.sampling else None for route in settings.all_routes)
    return WeightPlan(tuple(maps), server, routes)


def _texts(ratio: Decimal) -> dict[str, str]:
    return {RATIO: plain(ratio), WEIGHT: weight(ratio)}


def _share(ratio: Decimal, kept: Decimal) -> Decimal:
    # With 0, only the requests whose traceparent asks for it are traced.
    return (ratio or Decimal(1)) * kept


def _of(sampling: Sampling, kept: Decimal, maps: dict[Map, None]) -> dict[str, str]:
    """Returns the attributes of a sampling, and notes the variables that they need."""
    share = _share(sampling.ratio, kept)
    if not sampling.parent_based or share == kept:
        return _texts(share)
    return _unless_parent(_texts(share), kept, plain(sampling.ratio).replace(".", "_"), maps)


def _at_run_time(sampling: Sampling, ratios: list[Decimal], kept: Decimal, maps: dict[Map, None]) -> dict[str, str]:
    """Returns the attributes of a ratio that NGINX Plus switches at run time."""
    by_ratio = {plain(ratio): _texts(_share(ratio, kept)) for ratio in ratios}
    default = _texts(_share(sampling.ratio, kept))
    found: dict[str, str] = {}
    for name in (RATIO, WEIGHT):
        found[name] = _variable(name, "at_run_time")
        cases = tuple((ratio, texts[name]) for ratio, texts in by_ratio.items())
        maps[Map(RATIO_VARIABLE, found[name], cases, default[name])] = None
    return _unless_parent(found, kept, "by_parent_or_at_run_time", maps) if sampling.parent_based else found


def _unless_parent(root: Mapping[str, str], kept: Decimal, suffix: str, maps: dict[Map, None]) -> dict[str, str]:
    """Returns variables with values for requests without a `traceparent`, and 1 for the others."""
    found: dict[str, str] = {}
    for name, text in root.items():
        found[name] = _variable(name, suffix)
        maps[Map(_PARENT, found[name], (("", text),), _texts(kept)[name])] = None
    return found


def _variable(attribute: str, suffix: str) -> str:
    return f"${attribute.replace('.', '_')}_{suffix}"
