"""What NGINX Plus needs, and what it cannot do together: as in `settings.rules`.

Nothing of it is asked for with the edition `oss`: a stack may go from one edition to the other by `edition` alone.
"""

import datetime
import json
from collections.abc import Callable, Iterator

from settings.errors import ConfigError, Place, RuleViolation, needs, remove_command, repeated, set_command
from settings.license import GRACE, belong_together, certificate_end, license_end
from settings.stack import Settings

_SOON = datetime.timedelta(days=30)
_REPOSITORY: Place = ("plus", "repository")
_LICENSE: Place = ("nginxLicenseJwt",)
_CERTIFICATE: Place = ("nginxRepoCrt",)
_KEY: Place = ("nginxRepoKey",)
_EDITION: Place = ("edition",)


def plus_warnings(settings: Settings) -> Iterator[str]:
    """What is well today and will not be for long."""
    if settings.edition != "plus":
        return
    today = _today()
    if settings.nginx_license_jwt:
        end = license_end(settings.nginx_license_jwt.get_secret_value())
        if end and end < today <= end + GRACE:
            yield (
                f"nginxLicenseJwt: the license of NGINX Plus expired on {end}; after {end + GRACE} no new pod starts. "
                f"Renew it: {set_command(_LICENSE, '', secret=True)}"
            )
        elif end and end - _SOON < today <= end:
            yield (
                f"nginxLicenseJwt: the license of NGINX Plus is valid until {end}. "
                f"Renew it: {set_command(_LICENSE, '', secret=True)}"
            )
    if settings.builds_image and settings.nginx_repo_crt:
        end = certificate_end(settings.nginx_repo_crt.get_secret_value())
        if end - _SOON < today:
            yield (
                f"nginxRepoCrt: the certificate for NGINX Plus' packages is valid until {end}; the next build needs a "
                f"new one: {set_command(_CERTIFICATE, '', secret=True)} and {set_command(_KEY, '', secret=True)}"
            )


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _image(settings: Settings) -> Iterator[RuleViolation]:
    plus = settings.plus
    if settings.edition != "plus":
        return
    if plus.image is None and plus.repository is None:
        message = (
            "is required with the edition plus: where the image that is built goes. Or set `plus.image` to a ready one"
        )
        example = "registry.example/team/nginx-plus"
        yield RuleViolation(
            ConfigError(_REPOSITORY, message, set_command(_REPOSITORY, example)), (_EDITION, ("plus", "image"))
        )
    if plus.image is not None and plus.repository is not None:
        message = "is for an image that is built, and `plus.image` names a ready one"
        yield RuleViolation(
            ConfigError(_REPOSITORY, message, remove_command(_REPOSITORY)), (_EDITION, ("plus", "image"))
        )


def _cache(settings: Settings) -> Iterator[RuleViolation]:
    plus = settings.plus
    if settings.builds_image and plus.cache == f"{plus.repository}:{plus.release}":
        place: Place = ("plus", "cache")
        fix = set_command(place, f"{plus.repository}:cache")
        yield RuleViolation(
            ConfigError(place, "is the image that is built: its cache would replace it", fix, json.dumps(plus.cache)),
            (_REPOSITORY, ("plus", "release")),
        )


def _secrets(settings: Settings) -> Iterator[RuleViolation]:
    if settings.edition != "plus":
        return
    wanted = [(_LICENSE, settings.nginx_license_jwt, "without which NGINX Plus does not start")]
    if settings.builds_image:
        wanted += [
            (_CERTIFICATE, settings.nginx_repo_crt, "for its packages (or set `plus.image` to a ready one)"),
            (_KEY, settings.nginx_repo_key, "for its packages (or set `plus.image` to a ready one)"),
        ]
    for place, secret, why in wanted:
        if secret is None:
            fix = set_command(place, "", secret=True)
            others: tuple[Place, ...] = (_EDITION, ("plus", "image"))
            yield RuleViolation(ConfigError(place, f"is required with the edition plus, {why}", fix), others)


def _license(settings: Settings) -> Iterator[RuleViolation]:
    if settings.edition != "plus" or settings.nginx_license_jwt is None:
        return
    end = license_end(settings.nginx_license_jwt.get_secret_value())
    if end and end + GRACE < _today():
        message = f"expired on {end}, and NGINX Plus starts for {GRACE.days} days after that; a new one is at my.f5.com"
        yield RuleViolation(
            ConfigError(_LICENSE, message, set_command(_LICENSE, "", secret=True), "[secret]"), (_EDITION,)
        )


def _pair(settings: Settings) -> Iterator[RuleViolation]:
    certificate, key = settings.nginx_repo_crt, settings.nginx_repo_key
    if (
        settings.builds_image
        and certificate
        and key
        and not belong_together(certificate.get_secret_value(), key.get_secret_value())
    ):
        message = "is not the key of the certificate `nginxRepoCrt`"
        yield RuleViolation(ConfigError(_KEY, message, set_command(_KEY, "", secret=True), "[secret]"), (_CERTIFICATE,))


def _release(settings: Settings) -> Iterator[RuleViolation]:
    plus, exporter = settings.plus, settings.nginx.exporter
    release: Place = ("plus", "release")
    if settings.edition != "plus" or plus.image is not None or plus.release != "R33":
        return
    wanted: tuple[tuple[Place, bool], ...] = (
        (("plus", "usageReport", "proxy"), plus.usage_report.proxy is not None),
        (("nginx", "exporter", "headers"), bool(exporter.headers)),
        (("nginx", "exporter", "endpoint"), (exporter.endpoint or "").startswith("https://")),
        (("nginx", "resourceAttributes"), bool(settings.nginx.resource_attributes)),
    )
    for place, is_set in wanted:
        if is_set:
            yield needs(place, "needs R34, which is the first release to know it", release, "R34")


def _ratios(settings: Settings) -> Iterator[RuleViolation]:
    ratios = settings.plus.sampling_ratios
    for number, _ in repeated(ratios):
        place: Place = ("plus", "samplingRatios", number)
        yield RuleViolation(
            ConfigError(place, "is there twice", remove_command(place), json.dumps(str(ratios[number])))
        )


PLUS_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (
    _image,
    _cache,
    _secrets,
    _license,
    _pair,
    _release,
    _ratios,
)
