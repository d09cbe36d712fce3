"""kubectl, looking at the cluster that the stack's configuration names and not at the one of whoever runs it."""

import os
import shlex
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile

from tools.pull_request.errors import PreviewsError


@dataclass(frozen=True)
class Access:
    """How a stack's configuration says that its cluster is reached.

    Where it says nothing, kubectl does as the Kubernetes provider does: it takes KUBECONFIG, which may name several
    files and which it reads from the environment alone, or the default file, and the current context.
    """

    kubeconfig: str | None = field(default=None, repr=False)
    """`kubernetes:kubeconfig`, the path or the contents, which may be secret."""
    context: str | None = None
    """`kubernetes:context`."""
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    """Where kubectl is found and what it reads; none for this process's own."""

    @property
    def has_contents(self) -> bool:
        """Whether the configuration holds the kubeconfig itself. Told as `components/kubeconfig.py` tells it."""
        return self.kubeconfig is not None and ("\n" in self.kubeconfig or self.kubeconfig.lstrip().startswith("{"))

    def options(self) -> str:
        """The options for a kubectl command that a person is shown, after a blank; without contents of a kubeconfig."""
        words: list[str] = []
        if self.context:
            words += ["--context", self.context]
        if self.kubeconfig and not self.has_contents:
            words += ["--kubeconfig", os.path.expanduser(self.kubeconfig)]
        return "".join(f" {shlex.quote(word)}" for word in words)


def kubectl(arguments: Sequence[str], access: Access) -> str:
    """What a kubectl command prints.

    Args:
        arguments: the command's.
        access: how the stack's cluster is reached.

    Raises:
        PreviewsError: there is no kubectl, or the command failed, with what it says of it.
    """
    with _kubeconfig(access) as file:
        command = ["kubectl", *arguments]
        if file:
            command.append(f"--kubeconfig={file}")
        if access.context:
            command.append(f"--context={access.context}")
        try:
            done = subprocess.run(
                command,
                check=False,
                env=access.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            raise PreviewsError(
                "`kubectl` was not found: it lists what Pulumi does not know. Put it on PATH."
            ) from None
    if done.returncode != 0:
        raise PreviewsError(f"`{shlex.join(command)}` exited with {done.returncode}.\n{done.stderr.strip()}")
    return done.stdout


def context_name(access: Access) -> str | None:
    """The context that `kubectl` looks at; none where the kubeconfig has no current one either."""
    if access.context:
        return access.context
    try:
        return kubectl(["config", "current-context"], access).strip()
    except PreviewsError:
        # Inside of a cluster kubectl needs none.
        return None


@contextmanager
def _kubeconfig(access: Access) -> Generator[str | None]:
    """The path of the configured kubeconfig; of contents, that of a file for this long, which only its owner reads."""
    if access.kubeconfig is None:
        yield None
    elif not access.has_contents:
        # As the Kubernetes provider reads it, which no shell does for a configuration.
        yield os.path.expanduser(access.kubeconfig)
    else:
        # A pipe would do for one reading, kubectl reads more than once.
        with NamedTemporaryFile("w", prefix="kubeconfig-", encoding="utf-8") as file:
            file.write(access.kubeconfig)
            file.flush()
            yield file.name
