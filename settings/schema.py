"""The models as a schema: fields by their names in the configuration, types without what is annotated."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def aliased(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by their names in the configuration."""
    return {str(field.alias): field for field in model.model_fields.values()}


def bare_type(annotation: Any) -> Any:
    """A type without what is annotated and without `None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, UnionType}:
            (annotation,) = (member for member in get_args(annotation) if member is not type(None))
        else:
            return annotation


def is_marked(annotation: Any, mark: type) -> bool:
    """Whether a type is annotated with an instance of `mark`."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return any(isinstance(item, mark) for item in metadata) or is_marked(inner, mark)
    return get_origin(annotation) in {Union, UnionType} and any(
        is_marked(member, mark) for member in get_args(annotation)
    )


def is_model(annotation: Any) -> bool:
    """Whether a bare type is a group of settings."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_text(model: type[BaseModel]) -> bool:
    """Whether people may write a model's values as one text, which is no secret."""
    return bool(getattr(model, "written_as_text", False))


def item_type(annotation: Any) -> Any:
    """What a list or a map is of, bare; none for another type."""
    return bare_type(get_args(annotation)[-1]) if get_origin(annotation) in {dict, list} else None
