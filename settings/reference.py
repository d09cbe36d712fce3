"""The configuration reference, from the models: `make reference` writes it, and a test checks that it is up to date.

It is the `config:` block of `Pulumi.yaml`, of which Pulumi knows no more than top-level keys, and the tables in the
README.
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

REPOSITORY = Path(__file__).parent.parent
BEGIN, END = "<!-- reference: written by `make reference` -->", "<!-- end of the reference -->"
LIMITS_BEGIN, LIMITS_END = "<!-- limits: written by `make reference` -->", "<!-- end of the limits -->"


@dataclass(frozen=True)
class Key:
    """A key that can be set, as the reference lists it."""

    path: str
    kind: str
    default: str
    meaning: str


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Key]:
    """Every key: an item of a list as `[]`, of a map as `.<name>`."""
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
    """The last name that was given to a type: the nearest to where it is used."""
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


def readme_tables() -> str:
    """The README's tables: the general keys, then one for each component."""
    rows = list(keys())
    components = [name for name, field in aliased(Settings).items() if is_model(bare_type(field.annotation))]
    sections = {"General": [key for key in rows if key.path.split(".")[0] not in components]}
    for component in components:
        title = str(aliased(Settings)[component].description).rstrip(".")
        sections[title] = [key for key in rows if key.path.startswith(f"{component}.")]
    return "\n".join(_table(title, listed) for title, listed in sections.items())


def _table(title: str, listed: list[Key]) -> str:
    head = f"**{title}**\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
    return head + "".join(f"| `{key.path}` | {key.kind} | {key.default} | {key.meaning} |\n" for key in listed)


def pulumi_keys() -> dict[str, dict[str, Any]]:
    """The `config:` block of `Pulumi.yaml`. A default is not written twice: what is empty there is the model's."""
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
    """The files that hold the reference, as they should be."""
    readme, project = REPOSITORY / "README.md", REPOSITORY / "Pulumi.yaml"
    block = yaml.safe_dump({"config": pulumi_keys()}, sort_keys=False, width=10_000, allow_unicode=True)
    return {
        readme: _between(
            LIMITS_BEGIN, LIMITS_END, limits_table(), _between(BEGIN, END, readme_tables(), readme.read_text())
        ),
        project: re.sub(r"^config:\n.*\Z", lambda _: block, project.read_text(), flags=re.DOTALL | re.MULTILINE),
    }


def _between(begin: str, end: str, text: str, page: str) -> str:
    """A page with a text between two of its lines."""
    return re.sub(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", lambda _: f"\n{text}\n", page, flags=re.DOTALL)


if __name__ == "__main__":
    for file, text in written().items():
        file.write_text(text)
