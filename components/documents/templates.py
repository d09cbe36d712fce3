"""Renders templates: NGINX' configuration files in this folder, and what tools print."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import cast

import jinja2

from settings.nginx_syntax import quoted

Filters = Mapping[str, Callable[..., object]]
"""By name, what templates call beside Jinja's own filters."""


def render(template: str, **values: object) -> str:
    """Renders a template of this folder.

    Args:
        template: its file's name.
        values: what it prints; a template that prints anything else is an error.
    """
    return _nginx().get_template(template).render(values)


def jinja_environment(folder: Path, filters: Filters) -> jinja2.Environment:
    """Returns what renders the templates of a folder. It escapes nothing: the filters make a value harmless."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - none of the texts is HTML
    )
    # Its type lists the built-in filters.
    cast("dict[str, object]", made.filters).update(filters)
    return made


@cache
def _nginx() -> jinja2.Environment:
    return jinja_environment(Path(__file__).parent, {"quoted": quoted})
