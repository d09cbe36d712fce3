"""Connects the rules to Pulumi: turns the engine's resources into plain objects, and rules into policies."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from objects import UNKNOWN, Object, mapping, read
from pulumi_policy import (
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError


def each_object(name: str, description: str, rule: Callable[[Object], list[str]]) -> ResourceValidationPolicy:
    """Makes a policy that judges each Kubernetes object by itself, before Pulumi makes or changes it."""

    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        item = _kubernetes_object(args)
        for message in rule(item) if item is not None else []:
            report_violation(message, None)

    return ResourceValidationPolicy(name, description, validate)


def whole_stack(
    name: str, description: str, rule: Callable[..., list[str]], **configuration: dict[str, Any]
) -> StackValidationPolicy:
    """Makes a policy that judges the Kubernetes objects of a stack together.

    Args:
        name: the policy.
        description: the sentence that stands above its messages.
        rule: takes the objects, and the configuration as keyword arguments.
        configuration: the JSON schema of each argument, with its default.
    """

    def validate(args: StackValidationArgs, report_violation: ReportViolation) -> None:
        configured = {key: schema["default"] for key, schema in configuration.items()} | dict(args.get_config())
        found = [_kubernetes_object(resource) for resource in args.resources]
        for message in rule([item for item in found if item is not None], **configured):
            report_violation(message, None)

    schema = PolicyConfigSchema(configuration) if configuration else None
    return StackValidationPolicy(name, description, validate, config_schema=schema)


def _kubernetes_object(resource: ResourceValidationArgs | PolicyResource) -> Object | None:
    """Returns the object that a resource stands for; None for a component, a chart or the like, which is no object."""
    if not resource.resource_type.startswith("kubernetes:"):
        return None
    item: Object = _plain(resource.props)
    if not isinstance(item.get("kind"), str) or not isinstance(item.get("apiVersion"), str):
        return None
    if read(item, "metadata", "name") is None:
        # The cluster generates the name of this object; Pulumi's own name stands in for it.
        item["metadata"] = mapping(item, "metadata") | {"name": resource.name}
    return item


def _plain(value: Any) -> Any:
    """Copies into dicts and lists, in which unknown values are `UNKNOWN` rather than exceptions."""
    if isinstance(value, Mapping):
        return {key: _known(value, key) for key in value}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_known(value, position) for position in range(len(value))]  # pyright: ignore[reportUnknownArgumentType]
    return value


def _known(holder: Any, key: Any) -> Any:
    try:
        return _plain(holder[key])
    except UnknownValueError:
        return UNKNOWN
