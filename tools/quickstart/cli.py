"""Installs the Pulumi CLI for `make up` and `make preview` on a machine that has none."""

import shutil
import subprocess
from importlib.metadata import version

from lab.paths import CACHE
from tools.errors import ToolError

VERSION = version("pulumi")
"""The version of the program's library, whose CLI is the one that it is tested with."""

FOLDER = CACHE / "pulumi-cli" / VERSION
"""Where the SDK installs the CLI; every checkout shares it."""

BIN = FOLDER / "bin"
"""Holds `pulumi` and, beside it, the language host that comes with it."""


def provide_cli(path: str) -> None:
    """Installs the Pulumi CLI with the SDK's own installer, unless a PATH has one or it was installed before.

    Args:
        path: the PATH that Pulumi commands get; `BIN` is its last folder.

    Raises:
        ToolError: it could not be installed.
    """
    if shutil.which("pulumi", path=path) or shutil.which("pulumi", path=str(BIN)):
        return
    # Imported here: it takes a second, which no other command needs to spend.
    from pulumi.automation import PulumiCommand  # noqa: PLC0415

    print(f"Pulumi CLI: not on PATH; installing version {VERSION} into {FOLDER} …", flush=True)
    try:
        PulumiCommand.install(root=str(FOLDER))
    except subprocess.CalledProcessError as error:
        raise _failed(_last_line(error.output) or str(error)) from error
    except Exception as error:
        # A download that fails, a folder that cannot be written, or a CLI of a version that the SDK refuses.
        raise _failed(str(error)) from error
    if shutil.which("pulumi", path=str(BIN)) is None:
        raise _failed(f"{BIN / 'pulumi'} does not exist")
    print(f"Pulumi CLI: version {VERSION} is installed")


def _failed(reason: str) -> ToolError:
    return ToolError(
        f"The Pulumi CLI (`pulumi`) is not on PATH, and version {VERSION} could not be installed: {reason}.\n"
        "Install it as its documentation says, and repeat this command."
    )


def _last_line(output: bytes | str | None) -> str:
    text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
