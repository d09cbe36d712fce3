"""The only reader of Pulumi's configuration."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from pulumi.runtime.config import CONFIG, is_config_secret
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from settings.errors import PROJECT, ConfigError, Place, explain, masked
from settings.exporter_rules import exporter_warnings
from settings.image_rules import image_warnings
from settings.limits import sized
from settings.plus_rules import plus_warnings
from settings.rules import secrets_made_plain, violations_of
from settings.schema import aliased, bare_type, is_model, item_type
from settings.snippets.egress import egress_warnings
from settings.snippets.warnings import snippet_warnings
from settings.stack import Settings


class ClusterAccess(BaseModel):
    """How the Kubernetes provider reaches the cluster, for reading a node's address from the same one."""

    model_config = ConfigDict(frozen=True)

    kubeconfig: str | None = Field(description="Path or contents; unset: KUBECONFIG or the default file.")
    context: str | None
    renders: bool = Field(description="Whether the provider writes files and asks no cluster.")
    applies: bool = Field(description="Whether it has the API server apply objects, its default.")


def load() -> Settings:
    """The stack's settings.

    Raises:
        pulumi.RunError: the configuration has errors; names each, what is allowed and what mends it.
    """
    raw = {key: _parsed(key, text) for key, text in _configured().items() if text}
    settings, errors, faulty = _validated(raw)
    broken = violations_of(settings, _is_secret, _plain_in_file())
    errors += [rule.error for rule in broken if not _touches(rule.places, faulty)]
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise pulumi.RunError(
            f"{count} in the configuration of stack {pulumi.get_stack()}; nothing was changed.\n\n"
            + "\n\n".join(str(masked(error, _is_secret)) for error in errors)
        )
    for warning in (
        *plus_warnings(settings),
        *exporter_warnings(settings),
        *image_warnings(settings),
        *snippet_warnings(settings),
        *egress_warnings(settings),
        *secrets_made_plain(settings, _is_secret),
    ):
        pulumi.log.warn(warning)
    return sized(settings)


def cluster_access() -> ClusterAccess:
    """The Kubernetes provider's own settings, read as it reads them: configuration first, then the environment."""
    provider = pulumi.Config("kubernetes")
    return ClusterAccess(
        kubeconfig=provider.get("kubeconfig") or os.environ.get("KUBECONFIG") or None,
        context=provider.get("context") or None,
        renders=bool(provider.get("renderYamlToDirectory")),
        applies=(provider.get("enableServerSideApply") or os.environ.get("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY") or "")
        not in {"false", "0"},
    )


def _configured() -> dict[str, str]:
    """The project's configuration as the engine passes it: text, objects as JSON."""
    prefix = f"{PROJECT}:"
    return {key.removeprefix(prefix): value for key, value in CONFIG.get().items() if key.startswith(prefix)}


def _is_secret(key: str) -> bool:
    return is_config_secret(f"{PROJECT}:{key}")


def _plain_in_file() -> Callable[[Place], bool]:
    """Whether a place of the stack's file has its value in plain text; of a file that cannot be read it is not known.

    The engine gives the values without saying which of an object's were encrypted. The program runs in the folder of
    the project, where the file is, unless `--config-file` names another.
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
    """A top-level value: an object out of its JSON; text as it is, which may look like JSON (a password, say)."""
    field = aliased(Settings).get(key)
    annotation = bare_type(field.annotation) if field else None
    if not is_model(annotation) and item_type(annotation) is None:
        return text
    try:
        # Stricter than Python's own: no half characters, and a limit of depth.
        return from_json(text)
    except ValueError:
        return text


def _validated(raw: dict[str, Any]) -> tuple[Settings, list[ConfigError], set[Place]]:
    """The settings with faulty groups left out, the errors, and the groups that have them.

    What is left lets combinations of the other groups be checked in the same run.
    """
    try:
        return Settings.model_validate(raw), [], set()
    except ValidationError as error:
        problems = error.errors()
    errors = [explain(problem, Settings) for problem in problems]
    faulty: set[Place] = {problem["loc"][:2] for problem in problems}
    rest = dict(raw)
    for group in faulty:
        key, around = str(group[0]), rest.get(str(group[0]))
        if len(group) == 1 or not isinstance(around, dict):
            rest.pop(key, None)
        else:
            values = cast("dict[str, Any]", around)
            rest[key] = {name: value for name, value in values.items() if name != group[1]}
    return Settings.model_validate(rest), errors, faulty


def _touches(places: tuple[Place, ...], faulty: set[Place]) -> bool:
    return any(place[: len(group)] == group or group[: len(place)] == place for place in places for group in faulty)
