"""Searches for unique marks in secrets, to find where the secrets can be read.

A secret is looked for as it is, line by line, and in base64 at each of its three alignments, so that it is found inside
of other documents too; in files that are compressed after they were opened.
"""

import base64
import gzip
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SHORTEST = 16
"""Lines that are shorter say nothing: `-----` and the like."""


@dataclass(frozen=True)
class Marked:
    """Holds a secret that is searched for."""

    name: str
    text: str

    def forms(self) -> set[bytes]:
        """Returns each text that reveals the secret."""
        lines = [line for line in self.text.splitlines() if len(line) >= _SHORTEST and "-----" not in line]
        return {form for line in lines for form in _forms(line.encode())}


def _forms(line: bytes) -> Iterator[bytes]:
    yield line
    for shift in range(3):
        # The first and the last group of four depend on what is around them.
        encoded = base64.b64encode(b"x" * shift + line).rstrip(b"=")
        yield encoded[4:-4]


@dataclass
class Search:
    """Searches many places for many secrets."""

    secrets: list[Marked]
    places: dict[str, int] = field(default_factory=dict[str, int])
    """How many bytes each place had."""

    found: list[str] = field(default_factory=list[str])
    """`secret in place`, for each that was found."""

    def text(self, place: str, content: str | bytes) -> None:
        """Searches a text."""
        content = content.encode() if isinstance(content, str) else content
        self.places[place] = self.places.get(place, 0) + len(content)
        for secret in self.secrets:
            if any(form in content for form in secret.forms()):
                self.found.append(f"{secret.name} in {place}")

    def folder(self, place: str, folder: Path) -> None:
        """Searches every file below a folder, and what is packed in it."""
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.is_symlink():
                self._packed(place, file.read_bytes())

    def _packed(self, place: str, content: bytes) -> None:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        self.text(place, content)
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for entry in archive:
                    opened = archive.extractfile(entry) if entry.isfile() else None
                    packed = opened.read() if opened else b""
                    if packed[:2] == b"\x1f\x8b":
                        self._packed(place, packed)

    def report(self) -> str:
        """Returns which places were searched, and what was found."""
        lines = [f"{place}: {size} bytes" for place, size in sorted(self.places.items())]
        return "\n".join([*lines, f"found: {', '.join(sorted(set(self.found))) or 'nothing'}"])
