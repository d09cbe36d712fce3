"""Writes the generated pages of docs/reference and Pulumi.yaml: `make reference`; a test refuses a difference.

The configuration's pages come from `settings/reference.py`. This module adds the pages of what is outside the program:
the commands, from the Makefile and the argument parsers, and the policies, from the policy pack's source.
"""

import argparse
import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import lab.__main__
from settings import reference
from settings.reference import GENERATED, PAGES
from settings.version import VERSION
from tools.__main__ import VERBS
from tools.drift import command as drift
from tools.measure import command as measure
from tools.paths import REPOSITORY
from tools.probe import command as probe
from tools.pull_request import command as comment
from tools.quickstart import parsers as quickstart
from tools.size import command as size
from tools.view import command as view

PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "up": quickstart.up,
    "down": quickstart.down,
    "pulumi": quickstart.pulumi,
    "probe": probe.parser,
    "view": view.parser,
    "preview": quickstart.preview,
    "comment": comment.parser,
    "drift": drift.parser,
    "size": size.parser,
    "measure": measure.parser,
}
"""The parser of each verb of `python -m tools`."""

COMMANDS_HEAD = f"""\
{GENERATED}# Commands

Every command of version {VERSION}, with its arguments and exit codes. The Makefile and the commands' own parsers are
the source: `make help`, `python -m tools VERB --help`.

`make` calls the commands below. It exits with 2 whenever its command fails, whatever that command's exit code was; a
script that needs the exit code calls `.venv/bin/python -m tools VERB` itself. Wrong arguments give exit code 2.
"""

POLICIES_HEAD = f"""\
{GENERATED}# Policies

The rules of the policy pack `policy/` in version {VERSION}. They hold whatever the configuration, or a change of the
program, does: a violation stops the preview or the update. A value that a preview cannot know yet is allowed; the
update checks it again.

```sh
pulumi preview --policy-pack policy
```
"""


def make_targets() -> dict[str, str]:
    """Returns the Makefile's targets that `make help` lists, each with its help text."""
    lines = (REPOSITORY / "Makefile").read_text().splitlines()
    found = (re.match(r"([a-z-]+):.*## (.*)", line) for line in lines)
    return {target[1]: target[2] for target in found if target}


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Returns a parser's arguments, but for --help."""
    known: list[argparse.Action] = parser._actions  # pyright: ignore[reportPrivateUsage] - there is no public list
    return [action for action in known if action.dest != "help"]


def commands_page() -> str:
    """Returns the page of Make targets, verbs and the lab's commands."""
    targets = "".join(f"| `make {target}` | {_cell(text)} |\n" for target, text in make_targets().items())
    page = f"{COMMANDS_HEAD}\n## Make targets\n\n| target | what it does |\n|---|---|\n{targets}\n"
    page += "## Verbs of `python -m tools`\n"
    for verb in VERBS:
        page += _command(verb, PARSERS[verb]())
    return f"{page}\n## The lab's commands\n" + _command("lab", lab.__main__.parser())


def _command(title: str, parser: argparse.ArgumentParser) -> str:
    section = f"\n### {title}\n\n`{parser.prog}`\n\n{(parser.description or '').strip()}\n"
    rows = "".join(f"| `{_name(action)}` | {_meaning(action)} |\n" for action in actions(parser))
    if rows:
        section += f"\n| argument | meaning |\n|---|---|\n{rows}"
    exit_codes = str(parser.epilog)
    # An epilog of several lines is a list, whose lines stay as they are.
    return section + (f"\n```\n{exit_codes}\n```\n" if "\n" in exit_codes else f"\n{exit_codes}\n")


def _name(action: argparse.Action) -> str:
    value = str(action.metavar or ("" if action.option_strings else action.dest))
    if action.nargs == "?":
        value = f"[{value}]"
    elif action.nargs in ("+", argparse.REMAINDER):
        value = f"{value} ..."
    return " ".join([*action.option_strings, value]).strip()


def _meaning(action: argparse.Action) -> str:
    # Help texts are format strings.
    text = (action.help or "").replace("%%", "%")
    return _cell(text + (f": {', '.join(f'`{choice}`' for choice in action.choices)}" if action.choices else ""))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def policies_page() -> str:
    """Returns the page of policies, from the pack's source: importing the pack would start its server."""
    folder = REPOSITORY / "policy"
    rules = {
        item.name: ast.get_docstring(item) or ""
        for file in sorted(folder.glob("*.py"))
        for item in ast.parse(file.read_text()).body
        if isinstance(item, ast.FunctionDef)
    }
    return POLICIES_HEAD + "".join(_policies(folder / "__main__.py", rules))


def _policies(pack: Path, rules: dict[str, str]) -> Iterator[str]:
    for call in ast.walk(ast.parse(pack.read_text())):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            continue
        if call.func.id not in ("each_object", "whole_stack"):
            continue
        name, _, rule = call.args
        # A rule's arguments are documented for its callers.
        about, *_ = rules[ast.unparse(rule)].partition("\n\nArgs:")
        yield f"\n## {ast.literal_eval(name)}\n\n{about}\n"
        for argument in call.keywords:
            default = ", ".join(f"`{item}`" for item in ast.literal_eval(argument.value)["default"])
            yield f"\nThe policy's configuration `{argument.arg}` is a list; its default is {default}.\n"


def written() -> dict[Path, str]:
    """Returns every generated file, with the text that it should have."""
    own = {PAGES / "commands.md": commands_page(), PAGES / "policies.md": policies_page()}
    return reference.written() | own


if __name__ == "__main__":
    for file, text in written().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
