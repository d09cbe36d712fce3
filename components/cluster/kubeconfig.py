"""Reads kubeconfigs as kubectl and the Kubernetes provider do, to find the cluster that the provider changes."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError


class ApiUnavailableError(Exception):
    """The program cannot ask the API server. The text says why."""


class ClusterUnreachableError(ApiUnavailableError):
    """The API server did not answer, or no kubeconfig names one."""


class KubeconfigError(ApiUnavailableError):
    """This program cannot use the kubeconfig. Kubectl may: it knows newer credential plugins, for example."""


def read_server(kubeconfig: str | None, context: str | None) -> str:
    """Returns the address of the API server that a kubeconfig leads to.

    Raises:
        ClusterUnreachableError: there is no usable kubeconfig.
    """
    try:
        server = read_config(kubeconfig, context).cluster.server
        comparable(server)
    except (ConfigError, OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise ClusterUnreachableError(f"no usable kubeconfig: {error}") from error
    return server


def comparable(server: str) -> tuple[str, str | None, int | None, str]:
    """Returns the parts of an API server's address, equal for every way to write it."""
    url = urlsplit(server)
    return url.scheme, url.hostname, url.port or {"https": 443, "http": 80}.get(url.scheme), url.path.rstrip("/")


def read_config(kubeconfig: str | None, context: str | None) -> SingleConfig:
    """Returns the chosen context of a kubeconfig.

    Raises:
        ConfigError: there is no such file or context, or the file is no YAML. The text quotes nothing of the file: it
            may hold a token or a password.
    """
    try:
        return _chosen(kubeconfig, context)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        raise ConfigError(f"it is no YAML from line {mark.line + 1} on" if mark else "it is no YAML") from None


def has_contents(kubeconfig: str) -> bool:
    """Tells whether a configured kubeconfig is the contents itself, not the path of one or several files."""
    return "\n" in kubeconfig or kubeconfig.lstrip().startswith("{")


def _chosen(kubeconfig: str | None, context: str | None) -> SingleConfig:
    if kubeconfig and has_contents(kubeconfig):
        config = KubeConfig.from_dict(yaml.safe_load(kubeconfig))  # pyright: ignore[reportUnknownMemberType]
    else:
        # Several files make one configuration. Of two entries with the same name, the first counts.
        files = [Path(file).expanduser() for file in (kubeconfig or "~/.kube/config").split(os.pathsep) if file]
        configs = [KubeConfig.from_file(file) for file in files if file.is_file()]
        if not configs:
            if kubeconfig is None and (account := _service_account()):
                return account
            raise ConfigError(f"{' and '.join(map(str, files))} cannot be read")
        wanted = context or next((each.current_context for each in configs if each.current_context), None)
        config = next((each for each in configs if wanted in each.contexts), configs[0])
        context = wanted
    chosen = config.get(context)
    if chosen is None:
        raise ConfigError("no context is chosen")
    return _with_known_plugin(chosen)


def _service_account() -> SingleConfig | None:
    """Returns the account of the pod that the program runs in. The provider uses it if there is no kubeconfig."""
    try:
        return KubeConfig.from_service_account().get()
    except (ConfigError, OSError, KeyError):
        return None


def _with_known_plugin(config: SingleConfig) -> SingleConfig:
    """Renames version v1 of a credential plugin's API to v1beta1, which the library knows.

    The library reads only the token of the plugin's answer, which is in the same place in both versions.
    """
    plugin = config.user.exec if config.user else None
    if config.user is None or plugin is None or plugin.apiVersion != _PLUGIN_VERSION:
        return config
    known = msgspec.structs.replace(plugin, apiVersion=f"{_PLUGIN_VERSION}beta1")
    return config._replace(user=msgspec.structs.replace(config.user, exec=known))


_PLUGIN_VERSION = "client.authentication.k8s.io/v1"
