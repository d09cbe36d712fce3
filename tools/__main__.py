"""`python -m tools VERB …`: runs a command of the project; `--help` after a verb lists its arguments."""

import importlib
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A command."""

    summary: str
    module: str
    """The module of `function`, which takes the arguments and returns the exit code. Imported for this verb alone."""

    function: str = "main"


VERBS = {
    "up": Verb("cluster, stack, twenty requests found as traces", "tools.quickstart.command", "up"),
    "down": Verb("remove the stack, and the cluster if `up` created it", "tools.quickstart.command", "down"),
    "pulumi": Verb("run the Pulumi CLI on the stack of `up`", "tools.quickstart.command", "pulumi"),
    "probe": Verb("send requests and find each as a trace, or name the hop that loses them", "tools.probe.command"),
    "view": Verb("show the traces in a browser", "tools.view.command"),
    "preview": Verb("preview a stack's configuration on an ephemeral cluster", "tools.quickstart.command", "preview"),
    "comment": Verb("write previews as one comment for a pull request", "tools.pull_request.command"),
    "drift": Verb("name the objects that changed in the cluster since the last `pulumi up`", "tools.drift.command"),
    "size": Verb("how large a stack has to be for a load, with the reason of each number", "tools.size.command"),
    "measure": Verb("measure losses under faults and load, and costs, on the lab", "tools.measure.command"),
}


def main(arguments: list[str]) -> int:
    """Runs a verb; returns its exit code, or 2 for an unknown verb."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    verb = VERBS.get(arguments[0])
    if verb is None:
        print(f"error: {arguments[0]!r} is not a verb.\n\n{usage()}", file=sys.stderr)
        return 2
    function = getattr(importlib.import_module(verb.module), verb.function)
    return function(arguments[1:])


def usage() -> str:
    """Returns the verbs, one a line."""
    width = max(map(len, VERBS))
    listed = (f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items())
    return "\n".join(["usage: python -m tools VERB [--help] …", "", *listed])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
