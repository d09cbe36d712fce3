"""Renders the templates in this folder, all of them configuration files of NGINX."""

from functools import cache
from pathlib import Path
from typing import cast

import jinja2

from settings.nginx_syntax import quoted


def render(template: str, **values: object) -> str:
    """Renders a template.

    Args:
        template: its file's name.
        values: what it prints; a template that prints anything else is an error.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - nginx.conf, not HTML: the `quoted` filter escapes
    )
    # Its type lists the built-in filters.
    cast("dict[str, object]", environment.filters)["quoted"] = quoted
    return environment
