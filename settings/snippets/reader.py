"""Decides from built-in tables what the NGINX that reads the snippets knows; no image is inspected."""

from dataclasses import dataclass

from settings.nginx_directives import Known
from settings.stack import Settings
from settings.versions.nginx import has_module, module_of, nginx_version
from settings.versions.support import reaches


@dataclass(frozen=True)
class Reader:
    """The NGINX that reads the snippets."""

    plus: bool
    version: tuple[int, ...] | None
    """Its version; none if the image's name does not tell it."""

    modules: frozenset[str] | None
    """The modules of the table of directives that the image has; none if the image's name does not tell them."""

    @property
    def is_known(self) -> bool:
        """Tells whether the table has every directive of the image."""
        return self.modules is not None and self.version is not None and self.version < _AFTER_THE_TABLE

    def lacks(self, name: str, known: Known) -> str | None:
        """Returns why this NGINX does not have a directive of the table; none if it has it, or might."""
        opened = _OPENED.get(name)
        if known.origin == "plus" and not self.plus and not (opened and self.version and reaches(self.version, opened)):
            return "is a directive of NGINX Plus, and `edition` is oss"
        first = _FIRST_LATER if known.origin == "later" else _FIRST.get(name)
        if first and self.version and not reaches(self.version, first):
            return f"needs NGINX {'.'.join(map(str, first))}, and the image has {'.'.join(map(str, self.version))}"
        if known.origin in _MODULE_NAMES and self.modules is not None and known.origin not in self.modules:
            return f"needs the module {_MODULE_NAMES[known.origin]}, which the image does not have"
        return None


def reader_of(settings: Settings) -> Reader:
    """Returns what is known of the NGINX that a configuration runs."""
    if settings.edition == "plus":
        # The program builds its image with the OpenTelemetry module and no other.
        modules = frozenset[str]() if settings.plus.image is None else None
        release = settings.plus.built_release
        return Reader(True, release.nginx if release else None, modules)
    image = settings.nginx.pulled_image
    if not has_module(image) and module_of(image) is None:
        return Reader(False, None, None)
    return Reader(False, nginx_version(image), frozenset(MODULE_FILES))


MODULE_FILES = {
    "njs": "ngx_http_js_module",
    "geoip": "ngx_http_geoip_module",
    "image_filter": "ngx_http_image_filter_module",
    "xslt": "ngx_http_xslt_filter_module",
}
"""Modules that the official images have as files: NGINX knows their directives once they are loaded.

Source: nginxinc/docker-nginx, whose image the `-otel` images are made from.
"""

_AFTER_THE_TABLE = (1, 31)
"""The first version whose directives F5's table lacks. It has those of 1.29.8, which 1.30 was made from."""

_OPENED = {"sticky": (1, 29, 6)}
"""Directives of NGINX Plus that open-source NGINX has too since a version; from its change log."""

_FIRST_LATER = (1, 29, 0)
"""The first version with the directives that the table calls `later`: those after NGINX 1.28."""

# From nginx.org's change log: what came after 1.25.3, the first version with the OpenTelemetry module.
_FIRST = {
    "keepalive_min_timeout": (1, 27, 4),
    "proxy_pass_trailers": (1, 27, 2),
    "ssl_object_cache_inheritable": (1, 27, 4),
    "ssl_certificate_cache": (1, 27, 4),
    "proxy_ssl_certificate_cache": (1, 27, 4),
    "grpc_ssl_certificate_cache": (1, 27, 4),
    "uwsgi_ssl_certificate_cache": (1, 27, 4),
    "proxy_limit_rate": (1, 7, 7),
}
_MODULE_NAMES = {
    "njs": "njs",
    "geoip": "geoip",
    "image_filter": "image-filter",
    "xslt": "xslt",
    "perl": "perl",
}
