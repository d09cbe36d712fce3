"""Reads previews as Pulumi writes them: those parts of `pulumi preview --json` and of an event log that are shown.

The shapes are those of Pulumi 3.259: `pkg/display/json.go` and `sdk/go/common/apitype/events.go`. The configuration,
the outputs and everything else that is not named here is never read, so it cannot be shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class State(_Part):
    """A resource as the stack has it, or as the program wants it."""

    inputs: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    parent: str = ""


class Step(_Part):
    """The engine's plan for one resource."""

    op: str
    urn: str
    old_state: State | None = None
    new_state: State | None = None
    replace_reasons: list[str] = Field(default_factory=list[str])
    detailed_diff: dict[str, JsonValue] | None = None


class Diagnostic(_Part):
    """A message of the engine, a provider or the program."""

    message: str = ""
    severity: str = ""
    urn: str = ""


class PreviewResult(_Part):
    """One preview; a preview that came to its end, even to a bad one, has a summary."""

    steps: list[Step] = Field(default_factory=list[Step])
    diagnostics: list[Diagnostic] = Field(default_factory=list[Diagnostic])
    change_summary: dict[str, int] | None = None


class PolicyViolation(_Part):
    """A policy that a resource, or the stack, violates. The JSON leaves these out; the event log has them."""

    policy_name: str
    enforcement_level: str
    message: str
    resource_urn: str = ""

    @property
    def is_mandatory(self) -> bool:
        """Whether it stops the deployment."""
        return self.enforcement_level != "advisory"


class _Event(_Part):
    policy_event: PolicyViolation | None = None


@dataclass(frozen=True)
class Environment:
    """One environment's preview."""

    name: str
    result: PreviewResult | None
    """None where no preview can be read; `problem` says why."""
    problem: str = ""
    text: str = ""
    """The text that the file has instead of a preview."""
    violations: list[PolicyViolation] = field(default_factory=list[PolicyViolation])
    has_event_log: bool = False
    event_log_problem: str = ""


def read(name: str, file: Path, event_log: Path | None = None) -> Environment:
    """Reads an environment's preview; a file that cannot be read counts as a preview that failed.

    Args:
        name: the environment.
        file: the output of `pulumi preview --json`.
        event_log: the file of its `--event-log`, for the policies.
    """
    result, problem, text = _result(file)
    violations, event_log_problem = _violations(event_log) if event_log else ([], "")
    return Environment(
        name,
        result=result,
        problem=problem,
        text=text,
        violations=violations,
        has_event_log=event_log is not None,
        event_log_problem=event_log_problem,
    )


def _result(file: Path) -> tuple[PreviewResult | None, str, str]:
    """Returns the preview; or None, why there is none, and the text that the file has instead."""
    try:
        content = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None, "The preview left no file.", ""
    except OSError as error:
        return None, f"The preview's file cannot be read: {error.strerror}.", ""
    if not content.strip():
        return None, "The preview left an empty file.", ""
    try:
        return PreviewResult.model_validate_json(content), "", ""
    except ValidationError:
        text = "".join(_before_json(content))
        hidden = len(content) - len(text)
        problem = "The file has text instead of a preview's JSON."
        if hidden:
            # Cut-off JSON begins with the configuration, and may hold Secrets in plain text.
            problem = f"The preview's JSON is broken; {hidden} characters of it are not shown, as they may be secret."
        return None, problem, text


def _before_json(content: str) -> Iterator[str]:
    for line in content.splitlines(keepends=True):
        if line.lstrip().startswith(("{", "[", '"')):
            return
        yield line


def _violations(event_log: Path) -> tuple[list[PolicyViolation], str]:
    """Reads the violations from an event log, which has a JSON document on each line; or says why it cannot."""
    try:
        lines = event_log.read_text(encoding="utf-8").splitlines()
        events = [_Event.model_validate_json(line) for line in lines if line.strip()]
    except FileNotFoundError:
        return [], "is missing"
    except (OSError, ValueError):
        return [], "cannot be read"
    found = [event.policy_event for event in events if event.policy_event]
    return sorted(found, key=lambda violation: not violation.is_mandatory), ""
