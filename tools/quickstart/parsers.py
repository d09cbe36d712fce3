"""The arguments of `up`, `down`, `pulumi` and `preview`, for their --help and for the reference of commands."""

import argparse

FAILED = "1 it failed, and the message says how to fix that"
INTERRUPTED = "130 interrupted"


def up() -> argparse.ArgumentParser:
    """Returns the parser of `up`, which takes its cluster from the environment."""
    return argparse.ArgumentParser(
        prog="python -m tools up",
        description="Takes a cluster, deploys the stack with its demo, sends twenty requests through the demo's two "
        "services and finds each one as a whole trace. "
        "The cluster is the one that the environment variable KUBECONFIG or CONTEXT names, else kind, else the "
        "embedded lab.",
        epilog="Exit code: 0 every trace was found; 1 a trace is missing, or `up` failed and the message says how to "
        f"fix that; 2 the probe could not be made; {INTERRUPTED}.",
        allow_abbrev=False,
    )


def down() -> argparse.ArgumentParser:
    """Returns the parser of `down`."""
    return argparse.ArgumentParser(
        prog="python -m tools down",
        description="Removes the stack that `up` made, and the cluster if `up` made it.",
        epilog=f"Exit code: 0 it is removed, or nothing was up; {FAILED}; {INTERRUPTED}.",
        allow_abbrev=False,
    )


def pulumi() -> argparse.ArgumentParser:
    """Returns the parser of `pulumi`."""
    parser = argparse.ArgumentParser(
        prog="python -m tools pulumi",
        description="Runs the Pulumi CLI on the stack that `up` made, with its backend, passphrase and cluster.",
        epilog=f"Exit code: that of the Pulumi CLI; 1 no stack is up; {INTERRUPTED}.",
        allow_abbrev=False,
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the Pulumi CLI, passed on unchanged")
    return parser


def preview() -> argparse.ArgumentParser:
    """Returns the parser of `preview`; what it does not know is for `pulumi preview`."""
    parser = argparse.ArgumentParser(
        prog="python -m tools preview",
        usage="python -m tools preview [STACK] [option of `pulumi preview` ...]",
        description="Previews a stack's configuration on an ephemeral cluster, in a namespace of its own: every "
        "object goes to a real API server as a dry run. All other arguments are passed on to `pulumi preview`, such as "
        "--diff.",
        epilog=f"Exit code: that of `pulumi preview`; {FAILED}; {INTERRUPTED}.",
        allow_abbrev=False,
    )
    parser.add_argument("stack", metavar="STACK", nargs="?", default="dev", help="the stack (default: dev)")
    return parser
