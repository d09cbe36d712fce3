"""Makes the environments of the project's Jinja templates, alike in all but their filters."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import jinja2


def template_environment(
    folder: Path, filters: Mapping[str, Callable[..., object]] | None = None, *, keep_trailing_newline: bool = True
) -> jinja2.Environment:
    """Returns an environment for the templates of a folder, in which an undefined name is an error.

    Nothing is escaped for HTML: the templates write configuration and Markdown, and their filters quote text for those.

    Args:
        folder: the templates'.
        filters: more filters, by their names.
        keep_trailing_newline: whether a text ends with a newline where its template does.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=keep_trailing_newline,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - no HTML
    )
    # Its type lists the built-in filters.
    cast("dict[str, object]", environment.filters).update(filters or {})
    return environment
