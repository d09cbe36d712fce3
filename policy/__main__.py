"""Lists the policies of the pack, which hold for every stack, whatever its configuration.

`pulumi preview --policy-pack policy` runs it; a violation stops the preview or the update.
"""

from confidential import no_secrets_in_config_maps
from engine import each_object, whole_stack
from pulumi_policy import EnforcementLevel, PolicyPack
from rules import images_pinned, node_ports_declared, one_namespace, probes_and_resources, services_select_pods
from security import restricted_security_context

PolicyPack(
    "nginx-tracing",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        each_object("images-pinned", "Images are pinned: a tag other than latest, or a digest.", images_pinned),
        whole_stack("services-select-pods", "Services select the pods of one workload.", services_select_pods),
        each_object("probes-and-resources", "Containers have probes, requests, a memory limit.", probes_and_resources),
        each_object(
            "restricted-security-context",
            "Pods meet the restricted Pod Security Standard, with a read-only root.",
            restricted_security_context,
        ),
        whole_stack("no-secrets-in-config-maps", "Secret values are in Secrets alone.", no_secrets_in_config_maps),
        whole_stack(
            "node-ports-declared",
            "Only declared Services are opened to the outside.",
            node_ports_declared,
            allowed={"type": "array", "items": {"type": "string"}, "default": ["nginx", "tempo", "grafana"]},
        ),
        whole_stack("one-namespace", "All objects are in the stack's one namespace.", one_namespace),
    ],
)
