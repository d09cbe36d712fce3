"""Warns of keys that have no effect, because their component is switched off.

They are no errors: people switch components off for a while.
"""

from collections.abc import Iterator

from settings.errors import path, remove_command
from settings.schema import aliased
from settings.stack import Settings
from settings.types import Model

_PROVISIONED = frozenset({"provision", "prometheus", "logs"})
"""Keys of Grafana that hold for one that is there."""


def ignored_key_warnings(settings: Settings) -> Iterator[str]:
    """Yields a warning for each component that is switched off and has other keys."""
    switches: dict[str, tuple[Model, bool, str]] = {
        "collector": (settings.collector, settings.collector.enabled, "`collector.enabled` is false"),
        "tempo": (settings.tempo, settings.tempo.enabled, "`tempo.enabled` is false"),
        "prometheus": (settings.prometheus, settings.prometheus.enabled, "`prometheus.enabled` is false"),
        "grafana": (settings.grafana, settings.grafana.enabled, "`grafana.enabled` is false"),
        "demo": (settings.demo, settings.demo.enabled, "`demo.enabled` is false"),
        "plus": (settings.plus, settings.edition == "plus", "`edition` is oss"),
    }
    for component, (model, is_on, reason) in switches.items():
        in_use = _PROVISIONED if component == "grafana" and settings.grafana.provision else frozenset[str]()
        ignored = [] if is_on else [key for key in _other_keys(model) if key not in in_use]
        if ignored:
            places = [(component, key) for key in ignored]
            has = "has no effect" if len(places) == 1 else "have no effect"
            yield (
                f"{', '.join(map(path, places))} {has}, because {reason}. To remove: "
                f"{' && '.join(map(remove_command, places))}"
            )


def _other_keys(model: Model) -> list[str]:
    """Returns the keys that are set in a group, besides its switch, in the order of the model."""
    # The order of the set itself differs from run to run.
    by_field = dict(zip(type(model).model_fields, aliased(type(model)), strict=True))
    return [alias for name, alias in by_field.items() if name in model.model_fields_set and name != "enabled"]
