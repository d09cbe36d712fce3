"""nginx.conf with tracing, from a template.

Values are quoted by nginx.conf's own rules, so that no text can leave its place.
"""

from pathlib import Path

import jinja2

HTTP_PORT = 8080
HEALTH_PORT = 8081

WORKERS = 2
EXPORT_INTERVAL = "500ms"
BATCH_SIZE = 512
BATCH_COUNT = 16
"""8192 spans a worker, some 8 MiB: over three seconds at 5 000 requests/s on two workers. The module's default is 4."""


def quoted(text: str) -> str:
    r"""Text as one parameter of an nginx directive.

    Raises:
        ValueError: it has a character that cannot be written in nginx.conf on one line.
    """
    if not text.isprintable():
        raise ValueError(f"not one line of printable characters: {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - nginx.conf, not HTML: the `quoted` filter escapes
)
_templates.filters["quoted"] = quoted


def nginx_conf(*, exporter: str, service_name: str) -> str:
    """The whole nginx.conf.

    Args:
        exporter: `host:port` of the OTLP/gRPC receiver that spans are sent to.
        service_name: `service.name` of the spans.
    """
    return _templates.get_template("nginx.conf.j2").render(
        exporter=exporter,
        service_name=service_name,
        workers=WORKERS,
        interval=EXPORT_INTERVAL,
        batch_size=BATCH_SIZE,
        batch_count=BATCH_COUNT,
        http_port=HTTP_PORT,
        health_port=HEALTH_PORT,
    )
