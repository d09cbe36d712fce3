"""Checks that the kubeconfig leads to the stack's cluster."""

import pulumi

from components.cluster.kubeconfig import ClusterUnreachableError, comparable, read_server


def check_cluster(expected: str | None, *, kubeconfig: str | None, context: str | None) -> None:
    """Stops the program before it changes another cluster than the stack's.

    It compares the addresses of API servers. The kubeconfig tells the address without a connection. A preview without a
    kubeconfig goes on, because it changes nothing.

    Args:
        expected: `cluster`; none for any cluster.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.

    Raises:
        pulumi.RunError: the kubeconfig leads to another cluster, or to none.
    """
    if expected is None:
        return
    try:
        found = read_server(kubeconfig, context)
    except ClusterUnreachableError as error:
        if pulumi.runtime.is_dry_run():
            pulumi.log.warn(f"this preview did not check that the cluster is {expected}: {error}")
            return
        raise pulumi.RunError(f"the program cannot check that the cluster is {expected}: {error}") from None
    if comparable(found) != comparable(expected):
        named = f"the context {context}" if context else "the current context of the kubeconfig"
        raise pulumi.RunError(
            f"this is not the stack's cluster; nothing was changed.\n\n"
            f'  nginx-tracing:cluster = "{expected}"\n'
            f"    {named} leads to {found}\n"
            f"    pulumi config set kubernetes:context <a context of {expected}>\n"
            f"    or, for a stack that has no resources yet: pulumi config set cluster {found}"
        )
