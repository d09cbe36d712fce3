"""Rules of NGINX Plus, and warnings of a license or certificate that ends soon.

With the edition `oss` nothing is demanded: a stack may change its edition by `edition` alone.
"""

from collections.abc import Iterator

from settings.clock import today
from settings.errors import RuleViolation, needs, repeated, set_command, violation
from settings.license import GRACE, SOON, belong_together, certificate_end, license_end
from settings.stack import Settings
from settings.versions import SETS
from settings.versions.nginx import has_module
from settings.versions.plus import FIRST_WITH_ALL
from settings.versions.sets import DEFAULT

_LICENSE, _CERTIFICATE, _KEY = "nginxLicenseJwt", "nginxRepoCrt", "nginxRepoKey"
_IMAGE, _REPOSITORY, _RELEASE = "plus.image", "plus.repository", "plus.release"


def plus_warnings(settings: Settings) -> Iterator[str]:
    """Yields warnings of a license and a certificate that end soon."""
    if settings.edition != "plus":
        return
    day = today()
    if settings.nginx_license_jwt:
        end = license_end(settings.nginx_license_jwt.get_secret_value())
        renew = f"Renew it: {set_command(_LICENSE, secret=True)}"
        if end and end < day <= end + GRACE:
            expired = f"expired on {end}; after {end + GRACE} no new pod starts"
            yield f"{_LICENSE}: the license of NGINX Plus {expired}. {renew}"
        elif end and end - SOON < day <= end:
            yield f"{_LICENSE}: the license of NGINX Plus is valid until {end}. {renew}"
    if settings.builds_image and settings.nginx_repo_crt:
        end = certificate_end(settings.nginx_repo_crt.get_secret_value())
        if end - SOON < day:
            yield (
                f"{_CERTIFICATE}: the certificate for NGINX Plus' packages is valid until {end}; the next build needs "
                f"a new one: {set_command(_CERTIFICATE, secret=True)} and {set_command(_KEY, secret=True)}"
            )


def _image(settings: Settings) -> Iterator[RuleViolation]:
    plus = settings.plus
    if settings.edition != "plus" or (plus.image is None) != (plus.repository is None):
        return
    message = f"is for an image that `pulumi up` builds, and `{_IMAGE}` names an existing one"
    if plus.image is None:
        message = f"is required with the edition plus: `pulumi up` pushes the image there. Or set `{_IMAGE}`"
    example = "registry.example/team/nginx-plus" if plus.image is None else None
    yield violation(_REPOSITORY, message, set_to=example, depends_on=["edition", _IMAGE])


def _open_source(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects an official image of open-source NGINX, which does not start with the directives of NGINX Plus."""
    image = settings.plus.image
    if settings.edition == "plus" and image and has_module(image) is not None:
        message = "is open-source NGINX, which knows no `mgmt`: name an image of NGINX Plus, or set `edition` to oss"
        yield violation(_IMAGE, message, fix=set_command("edition", "oss"), depends_on=["edition"])


def _cache(settings: Settings) -> Iterator[RuleViolation]:
    plus = settings.plus
    if settings.builds_image and plus.cache == f"{plus.repository}:{plus.chosen_release}":
        message = "is the image that `pulumi up` builds: its cache would replace it"
        example = f"{plus.repository}:cache"
        yield violation("plus.cache", message, set_to=example, depends_on=[_REPOSITORY, _RELEASE])


def _secrets(settings: Settings) -> Iterator[RuleViolation]:
    if settings.edition != "plus":
        return
    for_packages = f"for its packages (or set `{_IMAGE}` to an existing image)"
    wanted = [(_LICENSE, settings.nginx_license_jwt, "without which NGINX Plus does not start")]
    if settings.builds_image:
        wanted.append((_CERTIFICATE, settings.nginx_repo_crt, for_packages))
        wanted.append((_KEY, settings.nginx_repo_key, for_packages))
    for key, secret, reason in wanted:
        if secret is None:
            message, fix = f"is required with the edition plus, {reason}", set_command(key, secret=True)
            yield violation(key, message, fix=fix, depends_on=["edition", _IMAGE])


def _license(settings: Settings) -> Iterator[RuleViolation]:
    if settings.edition != "plus" or settings.nginx_license_jwt is None:
        return
    end = license_end(settings.nginx_license_jwt.get_secret_value())
    if end and end + GRACE < today():
        message = f"expired on {end}, and NGINX Plus starts for {GRACE.days} days after that; a new one is at my.f5.com"
        yield violation(_LICENSE, message, fix=set_command(_LICENSE, secret=True), depends_on=["edition"])


def _pair(settings: Settings) -> Iterator[RuleViolation]:
    certificate, key = settings.nginx_repo_crt, settings.nginx_repo_key
    if not (settings.builds_image and certificate and key):
        return
    if not belong_together(certificate.get_secret_value(), key.get_secret_value()):
        message, fix = f"must be the key of the certificate `{_CERTIFICATE}`", set_command(_KEY, secret=True)
        yield violation(_KEY, message, fix=fix, depends_on=[_CERTIFICATE])


def _release(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects keys that the release of the image that `pulumi up` builds does not support."""
    release, exporter = settings.plus.built_release, settings.nginx.exporter
    if settings.edition != "plus" or release is None:
        return
    module = release.module
    unsupported = {
        "plus.usageReport.proxy": settings.plus.usage_report.proxy is not None and not release.report_proxy,
        "nginx.exporter.headers": bool(exporter.headers) and not module.headers,
        "nginx.exporter.endpoint": exporter.has_tls and not module.tls,
        "nginx.resourceAttributes": bool(settings.nginx.resource_attributes) and not module.resource_attributes,
    }
    for place in (place for place, is_unsupported in unsupported.items() if is_unsupported):
        first = f"R{FIRST_WITH_ALL}"
        message = f"needs {first}, which is the first release to support it"
        yield needs(place, message, _RELEASE, SETS[DEFAULT].plus)


def _ratios(settings: Settings) -> Iterator[RuleViolation]:
    for number, _ in repeated(settings.plus.sampling_ratios):
        yield violation(("plus", "samplingRatios", number), "is there twice")


PLUS_RULES = (
    _image,
    _open_source,
    _cache,
    _secrets,
    _license,
    _pair,
    _release,
    _ratios,
)
