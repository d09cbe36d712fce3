"""Rules about where in a cluster the stack may be: known without asking the cluster."""

import json
import re
from collections.abc import Callable, Iterator

from settings.errors import ConfigError, Place, RuleViolation, remove_command, set_command
from settings.stack import Settings

_DEFAULT = "default"
_SYSTEM = (
    # "Avoid creating namespaces with the prefix `kube-`, since it is reserved for Kubernetes system namespaces":
    # kubernetes.io/docs/concepts/overview/working-with-objects/namespaces.
    (r"kube-.*", "Kubernetes"),
    # "These projects host cluster components": OpenShift's documentation, "Working with projects".
    (r"openshift(-.*)?", "OpenShift"),
    # gmp-*: "Do not modify or deploy anything in this namespace", Google's "Managed Service for Prometheus".
    (r"(gke|gmp)-.*", "Google Kubernetes Engine"),
    # Rancher's "Sample PodSecurityConfiguration" lists these among the namespaces that its own components need.
    (r"(cattle|fleet)-.*", "Rancher"),
    (r"calico-(system|apiserver)|tigera-.*", "Calico"),
)
"""Namespaces of those who make the cluster, by their documentation, and whose they are.

Namespaces of programs that somebody chose to install (cert-manager, ingress-nginx, istio-system) are not among them.
"""


def _namespace(settings: Settings) -> Iterator[RuleViolation]:
    """Refuses a system namespace, with `createNamespace` on or off, and `default` with it on.

    `pulumi up` would label it *restricted*, so that the cluster's own pods are refused, and `pulumi destroy` would
    delete it. With `createNamespace` off nothing of this happens, but what runs there still goes with the cluster's
    next upgrade and is exempt from the cluster's policies. `default` is for everyone's use and only cannot be created.
    """
    name = settings.namespace
    place: Place = ("namespace",)
    maker = next((maker for pattern, maker in _SYSTEM if re.fullmatch(pattern, name)), None)
    if maker:
        message = f"is a system namespace of {maker}: take one of your own"
        yield RuleViolation(ConfigError(place, message, set_command(place, "tracing"), json.dumps(name)))
    elif name == _DEFAULT and settings.create_namespace:
        message = (
            "is in every cluster, cannot be deleted and may hold others' pods: take one of your own, or use it as it is"
        )
        create: Place = ("createNamespace",)
        yield RuleViolation(ConfigError(place, message, set_command(create, "false"), json.dumps(name)), (create,))


def _kubernetes_api_port(settings: Settings) -> Iterator[RuleViolation]:
    collector = settings.collector
    place: Place = ("collector", "kubernetesApiPort")
    if collector.kubernetes_api_port is None:
        return
    if not collector.kubernetes_attributes:
        message = "is for `collector.kubernetesAttributes`, which is false: nothing else asks the API server"
        yield RuleViolation(
            ConfigError(place, message, remove_command(place), str(collector.kubernetes_api_port)),
            (("collector", "kubernetesAttributes"),),
        )


CLUSTER_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (_namespace, _kubernetes_api_port)
