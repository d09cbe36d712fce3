"""The stack's outputs: where NGINX and Tempo answer, and in which namespace they run."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from tools.paths import REPOSITORY
from tools.probe.errors import ProbeError

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+/?$")]


class StackOutputs(BaseModel):
    """The outputs that the probe reads; all others are none of its business."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    nginx_url: Url = Field(description="the URL of NGINX, such as http://192.0.2.10:30080")
    tempo_url: Url | None = Field(
        default=None,
        description="the URL of Tempo's HTTP API, such as http://192.0.2.10:31000; none without `tempo.enabled`",
    )
    tempo_user: str | None = Field(
        default=None, description="the user of Tempo's HTTP API; none where it has no password"
    )
    namespace: str = Field(min_length=1, description="the namespace of the pods")


def from_pulumi(stack: str | None) -> StackOutputs:
    """Asks the Pulumi CLI, with the caller's environment and login.

    Raises:
        ProbeError: there is no CLI, no stack, or the stack is not up.
    """
    command = ["pulumi", "stack", "output", "--json", "--non-interactive", "--color", "never"]
    if stack:
        command += ["--stack", stack]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ProbeError(
            "The stack's outputs cannot be read: there is no `pulumi` on PATH.\n"
            "Run `make probe`, which brings its own, or give a file: "
            "`pulumi stack output --json > outputs.json`, then `python -m tools probe --outputs outputs.json`."
        ) from None
    if done.returncode:
        raise ProbeError(
            f"The stack's outputs cannot be read. `{' '.join(command[:4])}` says:\n"
            f"{_indented(done.stderr or done.stdout)}\n"
            "Create the stack with `make up` (or `pulumi up`), or name another one with --stack; "
            "`pulumi stack ls` lists them."
        )
    return _parsed(done.stdout, "`pulumi stack output --json`")


def tempo_password(stack: str | None, file: str | None, *, asks_pulumi: bool) -> str:
    """The password of Tempo's API: from a file, from TEMPO_PASSWORD, or from the stack's configuration.

    Args:
        stack: the Pulumi stack; none for the selected one.
        file: the file; none for the others.
        asks_pulumi: whether the outputs are that stack's, so that its password is not sent to somebody else's Tempo.

    Raises:
        ProbeError: none of them has it.
    """
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ProbeError(f"The password's file {file} cannot be read: {error}.") from None
    if password := os.environ.get("TEMPO_PASSWORD"):
        return password
    if asks_pulumi:
        command = ["pulumi", "config", "get", "tempoPassword", "--non-interactive", "--color", "never"]
        command += ["--stack", stack] if stack else []
        with contextlib.suppress(FileNotFoundError):
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout.removesuffix("\n")
    raise ProbeError(
        "Tempo's API has a password, and it is not known here.\n"
        "Give it in the environment variable TEMPO_PASSWORD, or in a file with --tempo-password-file."
    )


def from_file(name: str) -> StackOutputs:
    """Reads what `pulumi stack output --json` printed from a file, or from standard input for `-`.

    Raises:
        ProbeError: the file cannot be read or does not hold the outputs.
    """
    if name == "-":
        return _parsed(sys.stdin.read(), "Standard input")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProbeError(f"The outputs file {name} cannot be read: {error}.") from None
    return _parsed(text, name)


def _parsed(text: str, source: str) -> StackOutputs:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ProbeError(f"{source} is not the JSON of `pulumi stack output --json`: {error}.") from None
    try:
        return StackOutputs.model_validate(document)
    except ValidationError as error:
        problems = "\n".join(f"  {_problem(detail['loc'], detail['msg'])}" for detail in error.errors())
        raise ProbeError(
            f"{source} does not hold the outputs that the probe needs:\n{problems}\n"
            "They exist once the stack is up: `pulumi up` (or `make up`)."
        ) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    key = str(location[0]) if location else "document"
    what = next((field.description for field in StackOutputs.model_fields.values() if field.alias == key), None)
    return f"{key}: {message}" + (f" ({what})" if what else "")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
