"""Reads the stack's outputs: the URLs of NGINX and Tempo, and their namespace."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from tools.errors import ToolError
from tools.probe.result import ExpectedTrace
from tools.pulumi_cli import PulumiCli

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+/?$")]


class StackOutputs(BaseModel):
    """The outputs that the probe reads; it ignores all others."""

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
    demo: ExpectedTrace | None = Field(
        default=None, description="the demo's path, and what its traces have; none without `demo.enabled`"
    )

    def expected_of(self, path: str) -> ExpectedTrace | None:
        """Returns what the trace of a request has, by its path; none where anything may be behind NGINX."""
        return self.demo if self.demo and path.startswith(self.demo.path) else None


def from_pulumi(cli: PulumiCli) -> StackOutputs:
    """Reads the outputs with the Pulumi CLI, with the caller's environment and login.

    Raises:
        ToolError: there is no CLI, no stack, or the stack is not up.
    """
    command = ("stack", "output", "--json")
    try:
        done = cli.run(*command)
    except ToolError:
        raise ToolError(
            "The stack's outputs cannot be read: there is no `pulumi` on PATH.\n"
            "Run `make probe`, which brings its own, or give a file: "
            "`pulumi stack output --json > outputs.json`, then `python -m tools probe --outputs outputs.json`."
        ) from None
    if done.returncode:
        raise ToolError(
            f"The stack's outputs cannot be read. `{cli.text(*command)}` prints:\n"
            f"{_indented(done.stderr or done.stdout)}\n"
            "Create the stack with `make up` (or `pulumi up`), or name another one with --stack; "
            "`pulumi stack ls` lists them."
        )
    return _parsed(done.stdout, "`pulumi stack output --json`")


def tempo_password(cli: PulumiCli | None, file: str | None) -> str:
    """Returns the password of Tempo's API: from a file, from TEMPO_PASSWORD, or from the stack's configuration.

    Args:
        cli: the stack that the outputs are from. None where they are from a file: a stack's password must not be sent
            to the Tempo of another one.
        file: the file; None for the other two.

    Raises:
        ToolError: none of them has it.
    """
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ToolError(f"The password's file {file} cannot be read: {error}.") from None
    if password := os.environ.get("TEMPO_PASSWORD"):
        return password
    if cli:
        with contextlib.suppress(ToolError):
            return cli.must("config", "get", "tempoPassword").removesuffix("\n")
    raise ToolError(
        "Tempo's API has a password, and the probe does not know it.\n"
        "Give it in the environment variable TEMPO_PASSWORD, or in a file with --tempo-password-file."
    )


def from_file(name: str) -> StackOutputs:
    """Reads the output of `pulumi stack output --json` from a file, or from standard input for `-`.

    Raises:
        ToolError: the file cannot be read or does not hold the outputs.
    """
    if name == "-":
        return _parsed(sys.stdin.read(), "Standard input")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(f"The outputs file {name} cannot be read: {error}.") from None
    return _parsed(text, name)


def _parsed(text: str, source: str) -> StackOutputs:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ToolError(f"{source} is not the JSON of `pulumi stack output --json`: {error}.") from None
    try:
        return StackOutputs.model_validate(document)
    except ValidationError as error:
        problems = "\n".join(f"  {_problem(detail['loc'], detail['msg'])}" for detail in error.errors())
        raise ToolError(
            f"{source} does not hold the outputs that the probe needs:\n{problems}\n"
            "They exist once the stack is up: `pulumi up` (or `make up`)."
        ) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    key = str(location[0]) if location else "document"
    what = next((field.description for field in StackOutputs.model_fields.values() if field.alias == key), None)
    return f"{key}: {message}" + (f" ({what})" if what else "")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
