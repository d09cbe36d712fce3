"""Reads the stack's configuration. Nothing else reads Pulumi's configuration."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from pulumi.runtime.config import CONFIG, is_config_secret
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from settings.clock import today
from settings.completed import completed
from settings.demo_rules import demo_warnings
from settings.errors import PROJECT, ConfigError, Place, masked
from settings.explain import explain
from settings.exporter_rules import exporter_warnings
from settings.grafana_rules import grafana_warnings
from settings.https_rules import https_warnings
from settings.ignored_keys import ignored_key_warnings
from settings.image_warnings import image_warnings
from settings.metrics_rules import metrics_warnings
from settings.mirror_warnings import mirror_warnings
from settings.plus_rules import plus_warnings
from settings.rules import violations_of
from settings.schema import aliased, bare_type, is_model, item_type
from settings.secret_rules import secrets_made_plain
from settings.snippets.egress import egress_warnings
from settings.snippets.warnings import snippet_warnings
from settings.stack import Settings
from settings.tempo_parts_rules import tempo_parts_warnings
from settings.tempo_storage_rules import storage_warnings
from settings.upstream_spans import upstream_span_warnings
from settings.version_warnings import version_warnings


class ClusterAccess(BaseModel):
    """How the Kubernetes provider reaches the cluster, so that the program asks the same one."""

    model_config = ConfigDict(frozen=True)

    kubeconfig: str | None = Field(description="Path or contents; unset: KUBECONFIG or the default file.")
    context: str | None
    renders: bool = Field(description="Whether the provider writes files and connects to no cluster.")
    applies: bool = Field(description="Whether the API server applies the objects, which is the provider's default.")


def load() -> Settings:
    """Returns the stack's settings.

    Raises:
        pulumi.RunError: the configuration has errors. It names each, what is allowed and the command that fixes it.
    """
    raw = {key: _parsed(key, text) for key, text in _configured().items() if text}
    settings, errors, invalid = _validated(raw)
    violations = violations_of(settings, _is_secret, _plain_in_file())
    errors += [violation.error for violation in violations if not _touches(violation.places, invalid)]
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise pulumi.RunError(
            f"{count} in the configuration of stack {pulumi.get_stack()}; nothing was changed.\n\n"
            + "\n\n".join(str(masked(error, _is_secret)) for error in errors)
        )
    for warning in (
        *plus_warnings(settings),
        *exporter_warnings(settings),
        *https_warnings(settings),
        *image_warnings(settings),
        *version_warnings(settings, today()),
        *mirror_warnings(settings),
        *storage_warnings(settings),
        *tempo_parts_warnings(settings),
        *metrics_warnings(settings),
        *demo_warnings(settings),
        *grafana_warnings(settings),
        *ignored_key_warnings(settings),
        *snippet_warnings(settings),
        *upstream_span_warnings(settings),
        *egress_warnings(settings),
        *secrets_made_plain(settings, _is_secret),
    ):
        pulumi.log.warn(warning)
    return completed(settings)


def cluster_access() -> ClusterAccess:
    """Returns the Kubernetes provider's own settings, read as it reads them: configuration first, then environment."""
    provider = pulumi.Config("kubernetes")
    return ClusterAccess(
        kubeconfig=provider.get("kubeconfig") or os.environ.get("KUBECONFIG") or None,
        context=provider.get("context") or None,
        renders=bool(provider.get("renderYamlToDirectory")),
        applies=(provider.get("enableServerSideApply") or os.environ.get("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY") or "")
        not in {"false", "0"},
    )


def _configured() -> dict[str, str]:
    """Returns the project's configuration as the engine passes it: text, and objects as JSON."""
    prefix = f"{PROJECT}:"
    return {key.removeprefix(prefix): value for key, value in CONFIG.get().items() if key.startswith(prefix)}


def _is_secret(key: str) -> bool:
    return is_config_secret(f"{PROJECT}:{key}")


def _plain_in_file() -> Callable[[Place], bool]:
    """Returns a function that tells whether the stack's file has a place's value in plain text.

    The engine passes the values without telling which parts of an object were encrypted. The program runs in the
    project's folder, where the file is, unless `--config-file` names another. If the file cannot be read, the function
    returns False.
    """
    try:
        document: Any = yaml.safe_load(Path(f"Pulumi.{pulumi.get_stack()}.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        document = None

    def is_plain(place: Place) -> bool:
        found = document
        for part in ("config", f"{PROJECT}:{place[0]}", *place[1:]):
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return False
        return isinstance(found, str | int | float)

    return is_plain


def _parsed(key: str, text: str) -> Any:
    """Returns a top-level value: JSON is read for objects alone, because a password may look like JSON too."""
    field = aliased(Settings).get(key)
    annotation = bare_type(field.annotation) if field else None
    if not is_model(annotation) and item_type(annotation) is None:
        return text
    try:
        # Stricter than Python's own: it refuses unpaired surrogates, and limits the depth.
        return from_json(text)
    except ValueError:
        return text


def _validated(raw: dict[str, Any]) -> tuple[Settings, list[ConfigError], set[Place]]:
    """Returns the settings without the groups that have errors, the errors, and those groups.

    The rules can then check the other groups in the same run.
    """
    try:
        return Settings.model_validate(raw), [], set()
    except ValidationError as error:
        problems = error.errors()
    errors = [explain(problem, Settings) for problem in problems]
    invalid: set[Place] = {problem["loc"][:2] for problem in problems}
    rest = dict(raw)
    for group in invalid:
        key, around = str(group[0]), rest.get(str(group[0]))
        if len(group) == 1 or not isinstance(around, dict):
            rest.pop(key, None)
        else:
            values = cast("dict[str, Any]", around)
            rest[key] = {name: value for name, value in values.items() if name != group[1]}
    return Settings.model_validate(rest), errors, invalid


def _touches(places: tuple[Place, ...], invalid: set[Place]) -> bool:
    """Tells whether any of the places is in an invalid group, or around one."""
    return any(place[: len(group)] == group or group[: len(place)] == place for place in places for group in invalid)
