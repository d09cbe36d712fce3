"""Writes the configuration's reference from the models; `make reference` runs it, and a test refuses a difference.

Four files hold it: `docs/reference/configuration.md` (every key), `docs/reference/limits.md` (the sizes of each hop),
`docs/reference/versions.md` (what each version is), and the `config:` block of `Pulumi.yaml`, in which Pulumi takes no
more than the top-level keys.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from settings.limit_table import limits_table
from settings.schema import aliased, bare_type, is_model, item_type
from settings.stack import Settings
from settings.types import TypeName
from settings.version import VERSION
from settings.versions_page import versions_table

REPOSITORY = Path(__file__).parent.parent
PAGES = REPOSITORY / "docs" / "reference"
GENERATED = "<!-- `make reference` writes this page; edit its source instead. -->\n\n"

CONFIGURATION_HEAD = f"""\
{GENERATED}# Configuration

Every key of version {VERSION}, with its type, default and meaning. The program's models (`settings/`) are the source.

- A key is set by its path, such as `pulumi config set --path nginx.replicas 3`, or written into `Pulumi.<stack>.yaml`
  below `nginx-tracing:<first part>`.
- `[]` stands for an item of a list, `.<name>` for a name that you choose.
- An empty default means unset; the meaning says what happens then.
- Keys of the type *secret*, and maps to *secret*, must be set with `--secret`.
- The Kubernetes provider's own keys choose the cluster: `kubernetes:context` and `kubernetes:kubeconfig`, else the
  environment variable `KUBECONFIG`.
"""

LIMITS_HEAD = f"""\
{GENERATED}# Limits of size

The largest message that each hop sends and the next one takes, with every key at its default. One module
(`settings/limits.py`) holds these numbers: the documents of the deployed programs are rendered from it, and the program
refuses a configuration whose sizes do not fit each other, such as a larger `nginx.exporter.batchSize`, `spanAttributes`
that make larger spans, an exporter that takes smaller messages, or a smaller memory limit.
"""

VERSIONS_HEAD = f"""\
{GENERATED}# Versions

What version {VERSION} of the program knows of the programs that it deploys. One table (`settings/versions/`) holds it.
The documents are rendered by it, and each preview warns of versions that get no security fixes any more, or that have
a flaw by which a request may execute code. [Upgrade](../how-to/upgrade.md) has the way on.
"""


@dataclass(frozen=True)
class Key:
    """One key, as the reference lists it."""

    path: str
    kind: str
    default: str
    meaning: str


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Key]:
    """Yields every key: an item of a list as `[]`, of a map as `.<name>`."""
    for name, field in aliased(model).items():
        path = f"{prefix}{name}"
        annotation = bare_type(field.annotation)
        inner = item_type(annotation)
        if is_model(annotation):
            if not field.is_required() and field.get_default(call_default_factory=True, validated_data={}) is None:
                yield Key(path, _kind(field), "", str(field.description))
            yield from keys(annotation, f"{path}.")
        elif is_model(inner):
            yield Key(path, _kind(field), _default(field), str(field.description))
            yield from keys(inner, f"{path}[]." if get_origin(annotation) is list else f"{path}.<name>.")
        else:
            yield Key(path, _kind(field), _default(field), str(field.description))


def _kind(field: FieldInfo) -> str:
    return _named(field.metadata) or _kind_of(field.annotation)


def _named(metadata: Any) -> str | None:
    """Returns the last name that a type was given, which is the nearest to where it is used."""
    names = [item.name for item in metadata if isinstance(item, TypeName)]
    return names[-1] if names else None


_PLAIN = {bool: "true or false", int: "integer", str: "text", Decimal: "number"}


def _kind_of(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return _named(metadata) or _kind_of(inner)
    bare = bare_type(annotation)
    if bare is not annotation:
        (member,) = (item for item in get_args(annotation) if item is not type(None))
        return _kind_of(member)
    if get_origin(bare) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(bare))
    if get_origin(bare) is list:
        return "list of objects" if is_model(item_type(bare)) else f"list of {_kind_of(get_args(bare)[0])}"
    if get_origin(bare) is dict:
        kind = "objects" if is_model(item_type(bare)) else _kind_of(get_args(bare)[1])
        return f"map of {_kind_of(get_args(bare)[0])} to {kind}"
    return _PLAIN.get(bare, "object")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or default in ("", [], {}) or isinstance(default, list | BaseModel):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def configuration_page() -> str:
    """Returns the page of all keys: the top-level ones, then a section for each group of them."""
    rows = list(keys())
    groups = {name: field for name, field in aliased(Settings).items() if is_model(bare_type(field.annotation))}
    page = CONFIGURATION_HEAD
    page += _section("General", "", [key for key in rows if key.path.split(".")[0] not in groups])
    for group, field in groups.items():
        listed = [key for key in rows if key.path.split(".")[0] == group]
        page += _section(f"`{group}`", str(field.description), listed)
    return page


def _section(title: str, about: str, listed: list[Key]) -> str:
    head = f"\n## {title}\n\n" + (f"{about}\n\n" if about else "")
    head += "| key | type | default | meaning |\n|---|---|---|---|\n"
    return head + "".join(f"| `{key.path}` | {key.kind} | {key.default} | {key.meaning} |\n" for key in listed)


def pulumi_keys() -> dict[str, dict[str, Any]]:
    """Returns the `config:` block of `Pulumi.yaml`. An empty default there means that the model's default applies."""
    block: dict[str, dict[str, Any]] = {}
    for name, field in aliased(Settings).items():
        annotation = bare_type(field.annotation)
        is_object = is_model(annotation) or get_origin(annotation) is dict
        default: Any = {} if is_object else (field.default or "")
        block[name] = {
            "type": "object" if is_object else "boolean" if annotation is bool else "string",
            "default": default,
            "description": field.description,
        }
    return block


def written() -> dict[Path, str]:
    """Returns the files of the reference, each with the text that it should have."""
    project = REPOSITORY / "Pulumi.yaml"
    block = yaml.safe_dump({"config": pulumi_keys()}, sort_keys=False, width=10_000, allow_unicode=True)
    return {
        PAGES / "configuration.md": configuration_page(),
        PAGES / "limits.md": f"{LIMITS_HEAD}\n{limits_table()}",
        PAGES / "versions.md": f"{VERSIONS_HEAD}\n{versions_table()}",
        project: re.sub(r"^config:\n.*\Z", lambda _: block, project.read_text(), flags=re.DOTALL | re.MULTILINE),
    }


if __name__ == "__main__":
    for file, text in written().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
