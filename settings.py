"""What can be configured, and the only reader of Pulumi's configuration.

Each setting's type, default, unit and meaning is written here and nowhere else. `load()` reports every mistake at
once, before anything is created. Nothing here knows of Kubernetes objects.
"""

import difflib
import ipaddress
import json
import os
import re
import shlex
from typing import Annotated, Any, Literal

import pulumi
from pulumi.runtime.config import CONFIG
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

PROJECT = "nginx-tracing"

# The distribution project's reference grammar, with a tag or a digest made mandatory.
_IMAGE = re.compile(
    r"^[a-zA-Z0-9][\w.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:(?P<tag>\w[\w.-]{0,127}))?(@sha256:[0-9a-f]{64})?$"
)


def _pinned_image(image: str) -> str:
    matched = _IMAGE.match(image)
    if matched is None:
        raise ValueError("is not an image reference, which is [registry/]name:tag or [registry/]name@sha256:…")
    if "@" not in image and matched["tag"] in {None, "latest"}:
        raise ValueError("must be pinned: give a tag other than `latest`, or a digest")
    return image


def _host(address: str) -> str:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", address):
            raise ValueError("must be an IP address, without brackets, or a host name") from None
    return address


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


Image = Annotated[str, AfterValidator(_pinned_image)]
NodePort = Annotated[
    int | None,
    Field(
        ge=1,
        le=65535,
        strict=True,
        description="NodePort of the Service; the cluster's range is usually 30000-32767. Unset: the cluster chooses.",
        examples=[30080],
    ),
]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class NginxSettings(_Model):
    """NGINX with the OpenTelemetry module."""

    image: Image = Field(
        default="nginx:1.27.4-otel",
        description="Image with NGINX and ngx_otel_module; the tag `<version>-otel` of the official image has both.",
    )
    replicas: int = Field(default=1, ge=1, strict=True, description="Pods.")
    node_port: NodePort = None
    service_name: Annotated[str, AfterValidator(_one_line)] = Field(
        default="nginx", min_length=1, max_length=255, description="`service.name` of the spans."
    )


class CollectorSettings(_Model):
    """The OpenTelemetry Collector."""

    image: Image = Field(
        default="otel/opentelemetry-collector:0.126.0",
        description="Image of the Collector; any distribution with otlp, memory_limiter, batch and health_check.",
    )


class TempoSettings(_Model):
    """Grafana Tempo, monolithic, on the pod's own disk."""

    image: Image = Field(default="grafana/tempo:2.7.2", description="Image of Tempo 2.7.")
    node_port: NodePort = None


class Settings(_Model):
    """The whole configuration of a stack."""

    edition: Literal["oss"] = Field(default="oss", description="NGINX edition.")
    namespace: str = Field(
        default="tracing",
        # RFC 1123 label, as Kubernetes demands of a namespace.
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Namespace that is made for the stack, with everything in it.",
    )
    node_address: Annotated[str, AfterValidator(_host)] | None = Field(
        default=None,
        description="Host or IP address in the NodePort URLs. Unset: a Ready node's external, else internal address.",
        examples=["192.0.2.10"],
    )
    nginx: NginxSettings = Field(default_factory=NginxSettings, description="NGINX.")
    collector: CollectorSettings = Field(default_factory=CollectorSettings, description="OpenTelemetry Collector.")
    tempo: TempoSettings = Field(default_factory=TempoSettings, description="Grafana Tempo.")


class ClusterAccess(BaseModel):
    """How the Kubernetes provider reaches the cluster, for reading a node's address from the same one."""

    model_config = ConfigDict(frozen=True)

    kubeconfig: str | None = Field(description="Path or contents; unset: KUBECONFIG or the default file.")
    context: str | None


def load() -> Settings:
    """The stack's settings.

    Raises:
        pulumi.RunError: the configuration has mistakes; names each, what is allowed and what mends it.
    """
    raw = {key: _parsed(key, text) for key, text in _configured().items() if text}
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise pulumi.RunError(
            f"{count} in the configuration of stack {pulumi.get_stack()}; nothing was changed.\n\n"
            + "\n\n".join(problems)
        ) from None


def cluster_access() -> ClusterAccess:
    """The Kubernetes provider's own settings, read as it reads them: configuration first, then the environment."""
    provider = pulumi.Config("kubernetes")
    return ClusterAccess(
        kubeconfig=provider.get("kubeconfig") or os.environ.get("KUBECONFIG") or None,
        context=provider.get("context") or None,
    )


def _configured() -> dict[str, str]:
    """The project's configuration as the engine passes it: text, objects as JSON."""
    prefix = f"{PROJECT}:"
    return {key.removeprefix(prefix): value for key, value in CONFIG.get().items() if key.startswith(prefix)}


def _parsed(key: str, text: str) -> Any:
    """A top-level value as its model wants it: an object out of its JSON, text as it is."""
    field = _fields([]).get(key)
    if field is None or _nested_model(field) is None:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _explain(problem: ErrorDetails) -> str:
    """One mistake: where, what it is, what is allowed, the command that mends it."""
    place = [str(part) for part in problem["loc"]]
    path = ".".join(place)
    flag = "--path " if len(place) > 1 else ""
    if problem["type"] == "extra_forbidden":
        return _explain_unknown_key(place, path, flag)
    return "\n".join(
        [
            f"  {PROJECT}:{path} = {json.dumps(problem['input'])}",
            f"    {_what_is_wrong(problem)}",
            f"    {_mend(place, path, flag)}",
        ]
    )


def _explain_unknown_key(place: list[str], path: str, flag: str) -> str:
    known = sorted(_fields(place[:-1]))
    near = difflib.get_close_matches(place[-1], known, n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    return "\n".join(
        [
            f"  {PROJECT}:{path}",
            f"    there is no such key; {meant}Known here: {', '.join(known)}",
            f"    pulumi config rm {flag}{path}",
        ]
    )


def _what_is_wrong(problem: ErrorDetails) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"]) if "ctx" in problem else problem["msg"]
    if problem["type"] == "literal_error":
        return f"must be {problem['ctx']['expected']}" if "ctx" in problem else problem["msg"]
    if problem["type"] == "model_type":
        return "must be an object: set its keys one by one"
    if problem["type"] == "string_pattern_mismatch":
        return "must be lower-case letters, digits and `-`, 63 at most, with a letter or digit at both ends"
    return problem["msg"].replace("Input should be", "must be").replace("String should", "must")


def _fields(place: list[str]) -> dict[str, FieldInfo]:
    """The fields of the model at a place, by their names in the configuration."""
    model: type[BaseModel] = Settings
    for part in place:
        model = _nested_model(_aliased(model)[part]) or model
    return _aliased(model)


def _aliased(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {str(field.alias): field for field in model.model_fields.values()}


def _nested_model(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _mend(place: list[str], path: str, flag: str) -> str:
    field = _fields(place[:-1])[place[-1]]
    if _nested_model(field) is not None:
        return f"pulumi config rm {path}"
    good = field.examples[0] if field.examples else field.default
    return f"pulumi config set {flag}{path} {shlex.quote(str(good))}"
