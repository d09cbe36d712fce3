"""The last line of `pulumi up`."""

from collections.abc import Sequence

import pulumi

from settings.version import VERSION


def tell_how_to_check(
    *, after: Sequence[pulumi.Input[pulumi.CustomResource]], has_tempo: bool, asks_cluster: bool
) -> None:
    """Prints the version and the probe's command: Ready pods do not prove that spans arrive where they are sent.

    Args:
        after: workloads; the line appears once their pods are Ready.
        has_tempo: whether the stack has a Tempo of its own, in which the probe finds its traces.
        asks_cluster: whether the objects are in a cluster now; otherwise they are in files that somebody applies.
    """
    if pulumi.runtime.is_dry_run():
        return
    command = f".venv/bin/python -m tools probe{'' if has_tempo else ' --watch'}"
    state = "is deployed;" if asks_cluster else "is in files; once somebody has applied them,"
    ids = [pulumi.Output.from_input(workload).apply(lambda made: made.id) for workload in after]
    pulumi.Output.all(*ids).apply(
        lambda _: pulumi.log.info(f"nginx-tracing {VERSION} {state} this checks that spans arrive: {command}")
    )
