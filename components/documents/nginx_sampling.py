"""Plans the variables by which nginx.conf samples requests, and logs whether it traced them.

The template prints the plan and decides nothing. A variable is planned by its use, so that NGINX knows each one that
is used.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from settings.nginx import NginxSettings, Route, Sampling
from settings.nginx_contexts import header_shows_trace, said
from settings.nginx_syntax import quoted
from settings.plus import PlusSettings
from settings.snippets.ours import HEADER_LOG_FORMAT


@dataclass(frozen=True)
class Split:
    """A variable that is `on` for a share of the requests."""

    variable: str
    percent: str


@dataclass(frozen=True)
class ParentBased:
    """A variable that follows the request's `traceparent`."""

    variable: str
    without_parent: str
    """Its value for requests without a `traceparent`: a word or a variable."""


@dataclass(frozen=True)
class RunTime:
    """A variable whose ratio NGINX Plus switches at run time."""

    variable: str
    default: str
    """Its value until somebody switches it."""

    values: tuple[tuple[str, str], ...]
    """The ratios that it can be switched to, each with its value."""

    parent_based: ParentBased | None


@dataclass(frozen=True)
class Log:
    """A format of the access log."""

    name: str
    rule: str | None = None
    """The variable or text that decides whether a request is traced; none if its header shows it."""

    @property
    def source(self) -> str:
        """Returns the rule as an argument of `map`."""
        rule = self.rule or ""
        # The program's own rules are words, or one variable.
        return rule if re.fullmatch(r"\$?\w+", rule, re.ASCII) else quoted(rule)

    @property
    def variable(self) -> str:
        """Returns the variable with what the log writes."""
        return f"$makes_span_{self.name.removeprefix(f'{HEADER_LOG_FORMAT}_')}" if self.rule else "$makes_span"


@dataclass(frozen=True)
class SamplingPlan:
    """All that nginx.conf needs for sampling."""

    splits: tuple[Split, ...]
    parent_based: tuple[ParentBased, ...]
    run_time: RunTime | None
    server: str
    """The value of `otel_trace` in the server."""

    routes: tuple[str | None, ...]
    """The value of `otel_trace` in each route; none for that of the server."""

    server_log: Log
    route_logs: tuple[Log, ...]

    @property
    def logs(self) -> list[Log]:
        """Returns each format once."""
        return list(dict.fromkeys((self.server_log, *self.route_logs)))


def plan_sampling(settings: NginxSettings, plus: PlusSettings | None) -> SamplingPlan:
    """Plans what nginx.conf needs to sample as it is configured.

    Args:
        settings: what can be configured.
        plus: what can be configured of NGINX Plus; none for NGINX, open source.
    """
    variables = _Variables()
    run_time = _run_time(settings.sampling, plus.sampling_ratios, variables) if plus and plus.sampling_ratios else None
    server = _server(run_time) or variables.of(settings.sampling)
    sampled = [variables.of(route.sampling) if route.sampling else None for route in settings.all_routes]
    return SamplingPlan(
        splits=variables.splits(),
        parent_based=variables.parent_based(),
        run_time=run_time,
        server=server,
        routes=tuple(
            value if route.traced else "off" for route, value in zip(settings.all_routes, sampled, strict=True)
        ),
        server_log=_log(settings, None, server),
        route_logs=tuple(
            _log(settings, route, value or server, is_own=value is not None)
            for route, value in zip(settings.all_routes, sampled, strict=True)
        ),
    )


class _Variables:
    """Names the variables for ratios, and notes those that are used."""

    def __init__(self) -> None:
        self._splits: dict[Decimal, Split] = {}
        self._parent_based: dict[Decimal, ParentBased] = {}

    def of(self, sampling: Sampling) -> str:
        """Returns what decides by a sampling: `on`, `off` or a variable."""
        value = self.at(sampling.ratio)
        if not sampling.parent_based:
            return value
        variable = _variable("traced_by_parent_or_at", sampling.ratio)
        self._parent_based[sampling.ratio] = ParentBased(variable, value)
        return variable

    def at(self, ratio: Decimal) -> str:
        """Returns what decides by a ratio alone: `on`, `off` or a variable."""
        if ratio in {0, 1}:
            return "on" if ratio else "off"
        variable = _variable("traced_at", ratio)
        self._splits[ratio] = Split(variable, f"{plain(ratio * 100)}%")
        return variable

    def splits(self) -> tuple[Split, ...]:
        return tuple(split for _, split in sorted(self._splits.items()))

    def parent_based(self) -> tuple[ParentBased, ...]:
        return tuple(each for _, each in sorted(self._parent_based.items()))


def _run_time(sampling: Sampling, ratios: list[Decimal], variables: _Variables) -> RunTime:
    variable = "$traced_at_run_time"
    return RunTime(
        variable=variable,
        default=variables.at(sampling.ratio),
        values=tuple((plain(ratio), variables.at(ratio)) for ratio in ratios),
        parent_based=ParentBased("$traced_by_parent_or_at_run_time", variable) if sampling.parent_based else None,
    )


def _server(run_time: RunTime | None) -> str | None:
    if run_time is None:
        return None
    return run_time.parent_based.variable if run_time.parent_based else run_time.variable


def _log(settings: NginxSettings, route: Route | None, value: str, *, is_own: bool = False) -> Log:
    """Returns the format of the log in a route, or outside of any.

    Args:
        settings: what can be configured.
        route: the route.
        value: what decides whether its requests are traced, by the configuration's keys.
        is_own: whether the route has a key of its own for it, which goes before the snippets around it.
    """
    if header_shows_trace(settings, route):
        return Log(HEADER_LOG_FORMAT)
    own = said(route.extra_config, name="otel_trace") if route else None
    outer = None if is_own else said(settings.extra_config.server, settings.extra_config.http, name="otel_trace")
    rule = own or outer or value
    name = re.sub(r"\W", lambda found: f"_{ord(found[0]):x}", rule.removeprefix("$").removeprefix("traced_"))
    return Log(f"{HEADER_LOG_FORMAT}_{name}", rule)


def _variable(kind: str, ratio: Decimal) -> str:
    return f"${kind}_{plain(ratio).replace('.', '_')}"


def plain(number: Decimal) -> str:
    """Returns a number without an exponent or closing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
