"""What can be configured, and what a person is told of a mistake."""

import json
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import set_all_config
from pydantic import BaseModel

import settings
from lab.paths import REPOSITORY


def configure(**values: Any) -> None:
    """Sets the stack's configuration as the engine passes it."""
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    set_all_config({f"nginx-tracing:{key}": value for key, value in text.items()})


def refusal() -> str:
    """The message of the mistakes in the configuration."""
    with pytest.raises(pulumi.RunError) as error:
        settings.load()
    return str(error.value)


def test_without_configuration_there_are_the_tutorial_s_versions() -> None:
    configure()
    loaded = settings.load()
    assert (loaded.edition, loaded.namespace, loaded.node_address) == ("oss", "tracing", None)
    assert loaded.nginx.image == "nginx:1.27.4-otel"
    assert loaded.collector.image == "otel/opentelemetry-collector:0.126.0"
    assert loaded.tempo.image == "grafana/tempo:2.7.2"


def test_structured_keys_are_read_by_their_names_in_the_configuration() -> None:
    configure(nginx={"replicas": 3, "nodePort": 30080, "serviceName": "shop"}, tempo={"nodePort": 30310})
    loaded = settings.load()
    assert (loaded.nginx.replicas, loaded.nginx.node_port, loaded.nginx.service_name) == (3, 30080, "shop")
    assert loaded.tempo.node_port == 30310


def test_every_mistake_is_reported_at_once_with_what_mends_it() -> None:
    configure(
        edition="enterprise",
        namespace="Tracing",
        nginx={"replica": 2, "replicas": 0, "image": "nginx"},
        tempo={"nodePort": 70000},
        colector={},
    )
    assert refusal() == (
        "7 mistakes in the configuration of stack test; nothing was changed.\n\n"
        '  nginx-tracing:edition = "enterprise"\n'
        "    must be 'oss'\n"
        "    pulumi config set edition oss\n\n"
        '  nginx-tracing:namespace = "Tracing"\n'
        "    must be lower-case letters, digits and `-`, 63 at most, with a letter or digit at both ends\n"
        "    pulumi config set namespace tracing\n\n"
        '  nginx-tracing:nginx.image = "nginx"\n'
        "    must be pinned: give a tag other than `latest`, or a digest\n"
        "    pulumi config set --path nginx.image nginx:1.27.4-otel\n\n"
        "  nginx-tracing:nginx.replicas = 0\n"
        "    must be greater than or equal to 1\n"
        "    pulumi config set --path nginx.replicas 1\n\n"
        "  nginx-tracing:nginx.replica\n"
        "    there is no such key; did you mean `replicas`? Known here: image, nodePort, replicas, serviceName\n"
        "    pulumi config rm --path nginx.replica\n\n"
        "  nginx-tracing:tempo.nodePort = 70000\n"
        "    must be less than or equal to 65535\n"
        "    pulumi config set --path tempo.nodePort 30080\n\n"
        "  nginx-tracing:colector\n"
        "    there is no such key; did you mean `collector`? "
        "Known here: collector, edition, namespace, nginx, nodeAddress, tempo\n"
        "    pulumi config rm colector"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"nodeAddress": "[fd00::1]"},
            '  nginx-tracing:nodeAddress = "[fd00::1]"\n    must be an IP address, without brackets, or a host name\n'
            "    pulumi config set nodeAddress 192.0.2.10",
        ),
        (
            {"nginx": {"image": "nginx:latest"}},
            '  nginx-tracing:nginx.image = "nginx:latest"\n'
            "    must be pinned: give a tag other than `latest`, or a digest\n"
            "    pulumi config set --path nginx.image nginx:1.27.4-otel",
        ),
        (
            {"collector": {"image": "not an image"}},
            '  nginx-tracing:collector.image = "not an image"\n'
            "    is not an image reference, which is [registry/]name:tag or [registry/]name@sha256:…\n"
            "    pulumi config set --path collector.image otel/opentelemetry-collector:0.126.0",
        ),
        (
            {"nginx": {"serviceName": "a\nb"}},
            '  nginx-tracing:nginx.serviceName = "a\\nb"\n    must be one line of printable characters\n'
            "    pulumi config set --path nginx.serviceName nginx",
        ),
        (
            {"nginx": {"replicas": True}},
            "  nginx-tracing:nginx.replicas = true\n    must be a valid integer\n"
            "    pulumi config set --path nginx.replicas 1",
        ),
        (
            {"nginx": "many"},
            '  nginx-tracing:nginx = "many"\n    must be an object: set its keys one by one\n'
            "    pulumi config rm nginx",
        ),
    ],
)
def test_a_mistake_is_explained(values: dict[str, Any], message: str) -> None:
    configure(**values)
    assert refusal() == f"1 mistake in the configuration of stack test; nothing was changed.\n\n{message}"


@pytest.mark.parametrize(
    "image",
    [
        "nginx:1.27.4-otel",
        "localhost:5000/lab/nginx-otel:1.28.3",
        "registry.example/team/nginx@sha256:" + "0" * 64,
        "otel/opentelemetry-collector:0.126.0@sha256:" + "a" * 64,
    ],
)
def test_a_pinned_image_is_taken(image: str) -> None:
    configure(nginx={"image": image})
    assert settings.load().nginx.image == image


def test_pulumi_yaml_declares_the_keys_with_the_models_defaults_and_descriptions() -> None:
    declared = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())["config"]
    fields = {field.alias: field for field in settings.Settings.model_fields.values()}
    assert set(declared) == set(fields)
    for key, field in fields.items():
        assert declared[key]["description"] == field.description
        # An object's defaults are its model's; an empty text stands for unset.
        assert declared[key]["default"] in ({}, field.default if field.default is not None else "")


def test_the_readme_lists_every_key_with_its_default_and_meaning() -> None:
    listed = (REPOSITORY / "README.md").read_text()

    def rows(model: type[BaseModel], prefix: str = "") -> list[str]:
        found: list[str] = []
        for field in model.model_fields.values():
            annotation = field.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                found += rows(annotation, f"{prefix}{field.alias}.")
            else:
                default = "" if field.default is None else f"`{field.default}`"
                found.append(f"| `{prefix}{field.alias}` | {default} | {field.description} |")
        return found

    assert [row for row in rows(settings.Settings) if row not in listed] == []


def test_the_example_stack_and_the_lab_s_are_valid() -> None:
    for file in ("Pulumi.dev.yaml", "lab/Pulumi.lab.yaml"):
        stack = yaml.safe_load((REPOSITORY / file).read_text())["config"]
        configure(**{key.removeprefix("nginx-tracing:"): value for key, value in stack.items()})
        settings.load()
