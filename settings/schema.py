"""Reads the models as a schema: fields by their configuration keys, types without their annotations."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def aliased(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Returns a model's fields by their configuration keys."""
    return {str(field.alias): field for field in model.model_fields.values()}


def bare_type(annotation: Any) -> Any:
    """Strips a type of its annotations and of `None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, UnionType}:
            (annotation,) = (member for member in get_args(annotation) if member is not type(None))
        else:
            return annotation


def is_marked(annotation: Any, mark: type) -> bool:
    """Tells whether a type is annotated with an instance of `mark`."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return any(isinstance(item, mark) for item in metadata) or is_marked(inner, mark)
    return get_origin(annotation) in {Union, UnionType} and any(
        is_marked(member, mark) for member in get_args(annotation)
    )


def is_model(annotation: Any) -> bool:
    """Tells whether a bare type is a group of settings."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_text(model: type[BaseModel]) -> bool:
    """Tells whether a person may write all of a model's values as one text, which is no secret."""
    return bool(getattr(model, "written_as_text", False))


def item_type(annotation: Any) -> Any:
    """Returns the bare type of the items of a list or of a map's values; None for any other type."""
    return bare_type(get_args(annotation)[-1]) if get_origin(annotation) in {dict, list} else None
