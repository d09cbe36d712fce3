"""Previews as Pulumi writes them: the parts of `pulumi preview --json` and of an event log that the comment shows.

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
    """What the engine means to do to one resource."""

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


class Digest(_Part):
    """One preview; a preview that came to its end, even to a bad one, has a summary."""

    steps: list[Step] = Field(default_factory=list[Step])
    diagnostics: list[Diagnostic] = Field(default_factory=list[Diagnostic])
    change_summary: dict[str, int] | None = None


class PolicyViolation(_Part):
    """A policy that a resource, or the stack, breaks. These are in the event log only, the JSON leaves them out."""

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
    digest: Digest | None
    """None where there is no preview to read; then `problem` says why."""
    problem: str = ""
    text: str = ""
    """What was written instead of a preview."""
    violations: list[PolicyViolation] = field(default_factory=list[PolicyViolation])
    has_event_log: bool = False
    event_log_problem: str = ""


def read(name: str, file: Path, event_log: Path | None = None) -> Environment:
    """Reads an environment's preview; what cannot be read is a preview that failed.

    Args:
        name: the environment.
        file: what `pulumi preview --json` printed.
        event_log: what its `--event-log` wrote, for the policies.
    """
    digest, problem, text = _digest(file)
    violations, event_log_problem = _violations(event_log) if event_log else ([], "")
    return Environment(
        name,
        digest=digest,
        problem=problem,
        text=text,
        violations=violations,
        has_event_log=event_log is not None,
        event_log_problem=event_log_problem,
    )


def _digest(file: Path) -> tuple[Digest | None, str, str]:
    """The preview, or why there is none and the text that is there instead."""
    try:
        content = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None, "The preview left no file.", ""
    except OSError as error:
        return None, f"The preview's file cannot be read: {error.strerror}.", ""
    if not content.strip():
        return None, "The preview left an empty file.", ""
    try:
        return Digest.model_validate_json(content), "", ""
    except ValidationError:
        text = "".join(_before_json(content))
        hidden = len(content) - len(text)
        problem = "Instead of a preview's JSON there is text."
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
    """The violations in an event log, a JSON document on each line, or why they are not known."""
    try:
        lines = event_log.read_text(encoding="utf-8").splitlines()
        events = [_Event.model_validate_json(line) for line in lines if line.strip()]
    except FileNotFoundError:
        return [], "is missing"
    except (OSError, ValueError):
        return [], "cannot be read"
    found = [event.policy_event for event in events if event.policy_event]
    return sorted(found, key=lambda violation: not violation.is_mandatory), ""
