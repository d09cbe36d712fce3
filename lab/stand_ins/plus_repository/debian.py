"""Makes a base image like `debian:bookworm-slim`, by debootstrap from the machine's own mirror."""

import shutil
import subprocess
import tarfile
from dataclasses import dataclass

from lab.build.images import Image
from lab.errors import LabError
from lab.paths import CACHE
from lab.progress import Progress

USUAL_SECONDS = 30
_ARCHIVE = CACHE / "debian-bookworm-minbase.tar"


@dataclass(frozen=True)
class _Tree(Image):
    """An image whose one layer exists already."""

    def layer(self) -> bytes:
        return _ARCHIVE.read_bytes()


def debian_image(progress: Progress) -> Image:
    """Returns the base image, which is made once and kept in the cache.

    Raises:
        LabError: debootstrap failed.
    """
    if not _ARCHIVE.exists():
        with progress.step("make a base image of Debian", USUAL_SECONDS):
            _make()
    return _Tree("lab/debian:bookworm", (), {}, user="")


def _make() -> None:
    tree, half = CACHE / "debian-bookworm", _ARCHIVE.with_suffix(".part")
    shutil.rmtree(tree, ignore_errors=True)
    # It mounts /proc. In a namespace of its own, the mount ends with it, even if it is interrupted.
    own = ["unshare", "--mount", "--propagation=private"]
    command = [*own, "debootstrap", "--variant=minbase", "bookworm", str(tree)]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        last_lines = "\n".join((made.stdout + made.stderr).splitlines()[-10:])
        raise LabError(f"`{' '.join(command)}` exited with {made.returncode}:\n{last_lines}")
    # As in the official image, without lists of packages, which are fetched again, and without manuals.
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(tree / folder, ignore_errors=True)
    with tarfile.open(half, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tree, arcname=".", filter=_without_devices)
    half.rename(_ARCHIVE)
    shutil.rmtree(tree)


def _without_devices(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.ischr() or entry.isblk() else entry
