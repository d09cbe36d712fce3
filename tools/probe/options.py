"""The options by which a command finds a stack, its Tempo and its cluster, and where they lead."""

import argparse
import re
from dataclasses import dataclass

from tools.cluster import Access, stack_access
from tools.probe import outputs
from tools.pulumi_cli import PulumiCli
from tools.tempo import Login

_NAMES = {"nginx": "NGINX", "tempo": "Tempo"}


@dataclass(frozen=True)
class Target:
    """The stack that the options name."""

    outputs: outputs.StackOutputs
    access: Access
    """The way to its cluster."""

    _cli: PulumiCli | None
    _password_file: str | None

    def login(self) -> Login | None:
        """Returns the login of Tempo's API; None where it has no password.

        Raises:
            ToolError: nothing has the password.
        """
        user = self.outputs.tempo_user
        return Login(user, outputs.tempo_password(self._cli, self._password_file)) if user else None


def add_options(parser: argparse.ArgumentParser, *components: str) -> None:
    """Adds the options to a parser, with one for the URL of each component that is named."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--stack", metavar="NAME", help="the Pulumi stack (default: the selected one)")
    source.add_argument(
        "--outputs",
        metavar="FILE",
        help="read the outputs from a file with the JSON of `pulumi stack output --json`; - for stdin",
    )
    source.add_argument(
        "--quickstart", action="store_true", help="the stack that `make up` deployed; without one, the selected stack"
    )
    for component in components:
        parser.add_argument(
            f"--{component}-url",
            metavar="URL",
            type=_url,
            help=f"the URL of {_NAMES[component]}'s Service from here, such as a forwarded port, instead of the stack "
            f"output {component}Url",
        )
    parser.add_argument(
        "--tempo-password-file",
        metavar="FILE",
        help="a file with the password of Tempo's API, where it has one (default: the environment variable "
        "TEMPO_PASSWORD, else `pulumi config get tempoPassword`)",
    )
    parser.add_argument(
        "--context",
        metavar="NAME",
        help="the kubeconfig's context of the stack's cluster (default: the stack's kubernetes:context, else the "
        "current one)",
    )


def target(options: argparse.Namespace, *components: str) -> Target:
    """Returns the stack that options name, with the URLs of the components where they are given.

    Raises:
        ToolError: it has no outputs, or they are not those of such a stack.
    """
    cli = None if options.outputs else PulumiCli(options.stack)
    found = outputs.from_pulumi(cli) if cli else outputs.from_file(options.outputs)
    urls = {f"{component}_url": getattr(options, f"{component}_url") for component in components}
    found = found.model_copy(update={name: url for name, url in urls.items() if url})
    # Outputs from a file name no stack: its cluster is then the one that KUBECONFIG leads to.
    access = (stack_access(cli) if cli else Access()).in_context(options.context)
    return Target(found, access, cli, options.tempo_password_file)


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not http://host:port")
    return text
