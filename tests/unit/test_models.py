"""The models of the configuration: the values that errors show, and what a model tells of its component."""

from typing import Any

import pytest

import settings
from settings.errors import place_of, value_at
from tests import golden


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("nginx.replicas", "1"),
        ("nginx.serverName", '["shop.example"]'),
        ("nginx.serverName.0", None),
        ("nginx.sampling.ratio", "0.1"),
        ("nginx.accessLog", "true"),
        ("nginx.exporter", None),
        ("nginx.exporter.endpoint", None),
        ("nginx.exporter.caBundle", None),
        ("nginx.routes", None),
        ("nginx.nothing", None),
        ("tempoPassword", "[secret]"),
    ],
)
def test_an_error_shows_the_value_of_its_place(place: str, value: str | None) -> None:
    given = {
        "nginx": {
            "sampling": {"ratio": "0.1"},
            "serverName": ["shop.example"],
            "exporter": {"caBundle": golden.configuration("plus")["nginxRepoCrt"]},
        },
        "tempoPassword": "correct horse",
    }
    assert value_at(settings.Settings.model_validate(given), place_of(place)) == value


@pytest.mark.parametrize(
    ("collector", "is_persistent", "gathers_in_queue", "gathers"),
    [
        ({}, False, True, True),
        ({"sampling": {"tail": {}}}, False, False, True),
        ({"queue": {"storage": "persistent"}, "image": "otelcol:0.137.0"}, True, False, False),
        ({"queue": {"storage": "persistent"}, "image": "otelcol:0.138.0"}, True, True, True),
        ({"queue": {"storage": "persistent"}, "sampling": {"tail": {}}}, True, False, True),
    ],
)
def test_the_collector_s_model_tells_where_spans_wait_and_are_gathered(
    collector: dict[str, Any], *, is_persistent: bool, gathers_in_queue: bool, gathers: bool
) -> None:
    model = settings.CollectorSettings.model_validate(collector)
    assert (model.queue.is_persistent, model.gathers_in_queue, model.gathers) == (
        is_persistent,
        gathers_in_queue,
        gathers,
    )


def test_nginx_s_model_tells_what_it_connects_to() -> None:
    nginx = settings.NginxSettings.model_validate(
        {
            "routes": [
                {"path": "/", "upstream": {"service": "shop", "port": 8080}},
                {"path": "/own", "upstream": "localhost:9000"},
                {"path": "/static", "root": "/srv"},
            ],
            "egress": ["auth.example:443"],
            "exporter": {"endpoint": "https://collector.example:4317"},
        }
    )
    # `localhost` is the pod itself.
    assert nginx.destinations("tracing") == [
        ("shop.tracing.svc", 8080),
        ("auth.example", 443),
        ("collector.example", 4317),
    ]


@pytest.mark.parametrize(
    ("release", "nginx", "has_all"),
    [
        ("R33", (1, 27, 2), False),
        ("R34", (1, 27, 4), True),
        ("R36", (1, 29, 3), True),
        ("R37.0", (1, 29, 8), True),
        ("R99.1", None, True),
    ],
)
def test_a_release_of_plus_has_its_features(release: str, nginx: tuple[int, ...] | None, *, has_all: bool) -> None:
    built = settings.PlusSettings.model_validate({"release": release}).built_release
    assert built is not None
    assert built.nginx == nginx
    module = built.module
    assert {module.headers, module.resource_attributes, module.tls, built.report_proxy} == {has_all}


def test_a_release_of_an_existing_image_of_plus_is_unknown() -> None:
    assert settings.PlusSettings.model_validate({"image": "registry.example/nginx-plus:R34"}).built_release is None
