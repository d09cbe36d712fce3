"""Rules of secrets: the places that have one, and whether the stack's file shows it."""

from collections.abc import Callable, Iterator

from pydantic.alias_generators import to_camel

from settings.errors import Place, RuleViolation, set_command, violation
from settings.exporter_rules import exporter_secrets
from settings.metrics_rules import metrics_secrets
from settings.proxying_rules import upstream_secrets
from settings.stack import Settings
from settings.tempo_storage_rules import storage_secrets

IsSecret = Callable[[str], bool]
IsPlain = Callable[[Place], bool]


def secrets_in_plain_text(settings: Settings, is_secret: IsSecret, is_plain: IsPlain) -> Iterator[RuleViolation]:
    """Rejects secrets that the stack's file would show to everyone who reads it.

    Pulumi tells which top-level keys have a secret in them, not where. The file tells of those beside an encrypted one.
    """
    for place in _secret_places(settings):
        if not is_secret(str(place[0])) or is_plain(place):
            message = "must be a secret: it is in plain text in the stack's file"
            yield violation(place, message, fix=set_command(place, secret=True))


def secrets_made_plain(settings: Settings, is_secret: IsSecret) -> Iterator[str]:
    """Yields warnings of values that are encrypted in the stack's file alone.

    Pulumi tells which top-level keys have a secret in them, not where. If one value of a key stays secret, the others
    cannot be judged.
    """
    kept = {str(place[0]) for place in _secret_places(settings)}
    # In the order of the model: the order of the set differs from run to run.
    for key in (to_camel(name) for name in type(settings).model_fields if name in settings.model_fields_set):
        if key not in kept and is_secret(key):
            yield (
                f"{key} is encrypted in the stack's file, and nothing in it stays secret: its values are plain text in "
                "the cluster's objects, in previews and in the state. Only these stay secret: "
                "`registryPassword`, `tempoPassword`, the keys `tempoStorage…`, `grafanaPassword`, `metricsHeaders`, "
                "the three secrets of NGINX Plus, `headers`, `clientKey` and the proxy's `password`"
            )


def _secret_places(settings: Settings) -> list[Place]:
    of_stack = {
        "registryPassword": settings.registry_password,
        "tempoPassword": settings.tempo_password,
        "grafanaPassword": settings.grafana_password,
        "nginxLicenseJwt": settings.nginx_license_jwt,
        "nginxRepoCrt": settings.nginx_repo_crt,
        "nginxRepoKey": settings.nginx_repo_key,
    }
    of_groups = exporter_secrets(settings) + upstream_secrets(settings) + metrics_secrets(settings)
    of_groups += storage_secrets(settings)
    return of_groups + [(key,) for key, secret in of_stack.items() if secret]
