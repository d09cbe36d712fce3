"""Checks the pages: configurations load, commands and flags exist, links lead somewhere.

Every message names file and line.
"""

import importlib.util
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pulumi
import pytest
import yaml
from pulumi.runtime import set_all_config
from pydantic import TypeAdapter, ValidationError

import lab.__main__
import settings
from lab.paths import REPOSITORY
from settings.schema import aliased, bare_type, is_model, item_type
from settings.tempo_storage import KEYS_OF
from tests import golden
from tests.unit.pages import Code, anchors, blocks, code, inline, links, pages, place
from tests.unit.test_bad_input import CASES, path_of
from tools.reference import PARSERS, actions, make_targets

README = REPOSITORY / "README.md"
CHANGELOG = REPOSITORY / "CHANGELOG.md"
CURRENT = [page for page in pages() if page != CHANGELOG]
"""The pages of this version alone: the changelog names commands and keys that there were."""


def current_code() -> Iterator[Code]:
    """Yields all code of this version's pages, and of its section of the changelog, the first one."""
    for page in CURRENT:
        yield from code(page)
    lines = CHANGELOG.read_text().splitlines()
    _, following = [number for number, line in enumerate(lines, 1) if line.startswith("## ")][:2]
    yield from (found for found in code(CHANGELOG) if found.line < following)


VARIABLES = {"ARGS", "PYTHON", "STACK", "KUBECONFIG", "CONTEXT", "LAB_KUBERNETES", "LAB_VERSIONS"}
"""What may stand before or after a Make target: its own variables, and those of the environment that it reads."""

PASSED_ON = ("pulumi", "preview")
"""The verbs that pass unknown flags on to the Pulumi CLI."""

PROVIDER_KEYS = ("context", "kubeconfig", "renderYamlToDirectory")
"""The keys of the Kubernetes provider that the program reads too (`settings/load.py`)."""


def commands(found: Code) -> Iterator[tuple[str, list[str]]]:
    """Yields the place and the words of each command in a piece of code, without redirections and comments."""
    # A line that goes on in the next one is one command, and the lines behind it keep their numbers.
    text = re.sub(r"\\\n(.*)", r" \1\n", found.text)
    for number, line in enumerate(text.splitlines(), found.line):
        # Where output is shown, two spaces separate a command from the words that explain it.
        command = line if found.language == "sh" else re.split(r" {2,}", line.strip())[0]
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            # Not a command: an apostrophe within a sentence, for example.
            continue
        for is_end, group in itertools.groupby(words, lambda word: bool(word) and set(word) <= set("();<>|&")):
            if not is_end:
                yield place(found.page, number), list(group)


def after(words: list[str], *head: str) -> list[str] | None:
    """Returns the words behind a command's first ones, wherever these stand; None where they do not."""
    for start in range(len(words) - len(head) + 1):
        if tuple(words[start : start + len(head)]) == head:
            return words[start + len(head) :]
    return None


def every_command(*head: str) -> list[tuple[str, list[str]]]:
    """Returns the place of each command that has these words, and the words behind them."""
    found = [command for piece in current_code() for command in commands(piece)]
    behind = [(where, rest) for where, words in found if (rest := after(words, *head)) is not None]
    assert behind, f"no page has {' '.join(head)}"
    return behind


def flags(words: list[str]) -> set[str]:
    """Returns the flags among words, without their values."""
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def unknown_flags(verb: str, words: list[str]) -> set[str]:
    """Returns the flags that a verb's parser does not have."""
    if verb in PASSED_ON:
        return set()
    known = {option for action in actions(PARSERS[verb]()) for option in action.option_strings}
    return flags(words) - known - {"--help"}


def test_the_readme_is_short() -> None:
    lines = len(README.read_text().splitlines())
    assert lines <= 150, f"README.md has {lines} lines; 150 are allowed, and the rest belongs into docs/"


def configurations() -> list[Code]:
    """Returns every block that is a stack's configuration."""
    found = [block for block in current_code() if block.language == "yaml"]
    return [block for block in found if re.search(r"^(config:|\s*nginx-tracing:)", block.text, re.MULTILINE)]


@pytest.mark.parametrize("block", configurations(), ids=lambda block: block.place)
def test_every_configuration_is_taken_by_the_program(block: Code) -> None:
    document = yaml.safe_load(block.text)
    assert "config" in document, f"{block.place}: the block needs its first line, `config:`"
    values = golden.of_stack_file(block.text)
    storage = values.get("tempo", {}).get("storage", {})
    # Pages set the keys of a bucket from files.
    keys = () if "identity" in storage else KEYS_OF[storage.get("type", "local")]
    values |= {key: golden.configuration(f"bucket-{storage['type']}")[key] for key in keys}
    passed = {
        f"nginx-tracing:{key}": text for key, text in golden.as_pulumi_passes_it(values).items() if ":" not in key
    }
    set_all_config(passed, [f"nginx-tracing:{key}" for key in keys])
    try:
        settings.load()
    except pulumi.RunError as error:
        pytest.fail(f"{block.place}: {error}")


def test_there_are_configurations() -> None:
    assert configurations()


def test_every_block_of_yaml_is_yaml() -> None:
    problems: list[str] = []
    for block in (block for page in pages() for block in blocks(page) if block.language == "yaml"):
        try:
            yaml.safe_load(block.text)
        except yaml.YAMLError as error:
            problems.append(f"{block.place}: {error}")
    assert not problems, "\n".join(problems)


def test_every_error_that_a_page_shows_is_one_of_the_program_s() -> None:
    known = {case["says"].strip() for case in CASES}
    problems: list[str] = []
    for block in (block for page in CURRENT for block in blocks(page)):
        head, *errors = [part.strip() for part in block.text.split("\n\n")]
        shown = re.fullmatch(r"error: (\d+) errors? in the configuration of stack \w+; nothing was changed\.", head)
        if not shown:
            continue
        if int(shown[1]) != len(errors):
            problems.append(f"{block.place}: it says {shown[1]} errors and shows {len(errors)}")
        for error in errors:
            if re.sub(r"\n +", "\n", error) not in known:
                problems.append(f"{block.place}: no case of tests/unit/bad_input.yaml has {error!r}")
    assert not problems, "\n".join(problems)


def test_every_make_target_exists() -> None:
    targets = make_targets()
    recipe = re.compile(r"^([a-z-]+):.*\n\t@?\$\(BIN\)/python -m tools ([a-z]+)", re.MULTILINE)
    verbs = dict(recipe.findall((REPOSITORY / "Makefile").read_text()))
    problems: list[str] = []
    for where, words in every_command("make"):
        named = [word for word in words if "=" not in word and not word.startswith("-")]
        problems += [f"{where}: there is no `make {word}`" for word in named if word not in targets]
        for variable, _, value in (word.partition("=") for word in words if "=" in word):
            if variable not in VARIABLES:
                problems.append(f"{where}: no target reads {variable}")
            elif variable == "ARGS" and named[0] in verbs:
                unknown = unknown_flags(verbs[named[0]], shlex.split(value))
                problems += [f"{where}: `make {named[0]}` takes no {flag}" for flag in unknown]
    assert not problems, "\n".join(problems)


def test_every_verb_and_its_flags_exist() -> None:
    problems: list[str] = []
    for where, words in every_command("-m", "tools"):
        verb, *rest = words or ["VERB"]
        # The placeholder of texts about all verbs.
        if verb in {"VERB", "--help"}:
            continue
        if verb not in PARSERS:
            problems.append(f"{where}: `python -m tools` has no verb {verb}")
        else:
            unknown = unknown_flags(verb, rest)
            problems += [f"{where}: `python -m tools {verb}` has no {flag}" for flag in unknown]
    assert not problems, "\n".join(problems)


def test_every_module_that_is_run_exists() -> None:
    problems: list[str] = []
    for where, (module, *rest) in every_command(".venv/bin/python", "-m") + every_command("python", "-m"):
        # The verbs of `tools` have a test of their own.
        if module == "tools":
            continue
        if module == "lab":
            problems += [
                f"{where}: `python -m lab` has no {word}" for word in rest if word not in lab.__main__.COMMANDS
            ]
        elif not module_exists(module):
            problems.append(f"{where}: there is no module {module}")
    assert not problems, "\n".join(problems)


def module_exists(module: str) -> bool:
    """Tells whether `python -m` finds a module."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def type_of(path: list[str | int]) -> Any:
    """Returns the type of a path in the configuration.

    Raises:
        KeyError: there is no such key.
    """
    annotation: Any = settings.Settings
    for part in path:
        bare = bare_type(annotation)
        if is_model(bare):
            annotation = aliased(bare)[str(part)].rebuild_annotation()
        elif item_type(bare) is None or isinstance(part, int) != (get_origin(bare) is list):
            raise KeyError(part)
        else:
            annotation = get_args(bare)[-1]
    return annotation


def objections(verb: str, words: list[str]) -> Iterator[str]:
    """Yields why a `pulumi config set`, or `rm`, would not do what its page says."""
    key, *given = [word for word in words if not word.startswith("--")]
    value, path = " ".join(given), path_of(key)
    secret = {"--secret"} if verb == "set" else set[str]()
    if unknown := flags(words) - {"--path", "--stack"} - secret:
        yield f"`pulumi config {verb}` is never given {', '.join(unknown)}"
    if verb == "rm" and given:
        yield f"`pulumi config rm` takes one key, and no {value}"
    if key.startswith("kubernetes:"):
        if key.removeprefix("kubernetes:") not in PROVIDER_KEYS:
            yield f"the program reads no {key}"
        return
    if len(path) > 1 and "--path" not in words:
        yield f"{key} needs --path"
    try:
        annotation = type_of(path)
        if value and "…" not in value:
            is_json = re.fullmatch(r"true|false|\d+", value)
            TypeAdapter[Any](annotation).validate_python(json.loads(value) if is_json else value)
    except KeyError as missing:
        yield f"{key}: there is no key {missing}"
    except ValidationError as error:
        yield f"{key} does not take {value}: {error.errors()[0]['msg']}"


@pytest.mark.parametrize("verb", ["set", "rm"])
def test_every_key_that_is_set_or_removed_exists_and_takes_the_value(verb: str) -> None:
    found = every_command("pulumi", "config", verb)
    problems = [f"{where}: {why}" for where, words in found if words for why in objections(verb, words)]
    assert not problems, "\n".join(problems)


def test_every_link_leads_somewhere() -> None:
    problems: list[str] = []
    for page in pages():
        for where, target in links(page):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or REPOSITORY not in (file, *file.parents):
                problems.append(f"{where}: there is no {path}")
            elif anchor and (file.suffix != ".md" or anchor not in anchors(file)):
                problems.append(f"{where}: {path or 'this page'} has no heading for #{anchor}")
    assert not problems, "\n".join(problems)


def test_every_file_that_is_named_exists() -> None:
    rooms = [path.name for path in REPOSITORY.iterdir() if path.is_dir() and path.name != ".venv"]
    problems: list[str] = []
    for page in CURRENT:
        for found in inline(page):
            room, slash, _ = found.text.partition("/")
            named = slash and room in rooms and re.fullmatch(r"[\w./-]+", found.text)
            if named and not (REPOSITORY / found.text).exists():
                problems.append(f"{found.place}: there is no {found.text}")
    assert not problems, "\n".join(problems)


def test_every_page_that_the_program_names_exists() -> None:
    named = ("*.py", "*.yaml", "*.j2", "*.sh")
    rooms = ("settings", "components", "tools", "lab", "policy", "monitoring", ".github")
    files = [file for room in rooms for pattern in named for file in (REPOSITORY / room).rglob(pattern)]
    problems: list[str] = []
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            for page in re.findall(r"\bdocs/[\w./-]+\.md\b", line):
                if not (REPOSITORY / page).exists():
                    problems.append(f"{place(file, number)}: there is no {page}")
    assert not problems, "\n".join(problems)
