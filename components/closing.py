"""Ends `pulumi up` with the command that checks the stack."""

from collections.abc import Sequence

import pulumi


def tell_how_to_check(*, after: Sequence[pulumi.CustomResource], has_tempo: bool) -> None:
    """Names the probe. Pods that are Ready do not tell whether spans reach their backend.

    Args:
        after: the workloads. Pulumi has made them once their pods are Ready.
        has_tempo: whether the stack has a Tempo of its own, in which the probe finds its traces.
    """
    if pulumi.runtime.is_dry_run():
        return
    command = f".venv/bin/python -m tools probe{'' if has_tempo else ' --watch'}"
    pulumi.Output.all(*(workload.id for workload in after)).apply(
        lambda _: pulumi.log.info(f"to check whether spans arrive: {command}")
    )
