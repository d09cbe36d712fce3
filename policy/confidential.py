"""The rule about what is secret: it is in Secrets, and in nothing that everyone may read."""

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from objects import Object, containers, items, kind_of, mapping, texts, title

SHORTEST_VALUE: Final = 8
"""Characters; what is shorter occurs by chance."""

SHORTEST_LINE: Final = 16
"""Characters of one line among others, which may be a document's common words."""

LOGIN_FIELDS: Final = ("password", "auth", "identitytoken", "registrytoken")
"""What is secret in a registry's login, which is a Secret with one JSON document."""

PEM_BOUNDARY: Final = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
PRIVATE_KEY: Final = re.compile(r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----")
JWT: Final = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
ONLY_SECRETS: Final = "it in a Secret alone, mounted as a file"


@dataclass(frozen=True)
class _Confidential:
    """One value of a Secret."""

    origin: str
    """The Secret and its key."""

    forms: frozenset[str]
    """How it may be written elsewhere: as it is, and in base64."""

    def is_in(self, text: str) -> bool:
        return any(form in text for form in self.forms)


@dataclass(frozen=True)
class _Readable:
    """A text that whoever may read the object reads."""

    place: str
    text: str


def no_secrets_in_config_maps(objects: Sequence[Object]) -> list[str]:
    """No value of a Secret is in a ConfigMap or in a container's environment, arguments or command.

    Nor is a private key in PEM or a JSON Web Token in a ConfigMap, wherever it comes from. A value inside a line of a
    Secret's document is not looked for by itself, only the line. No message contains what it is about.
    """
    confidential = [value for item in objects if kind_of(item) == "Secret" for value in _values(item)]
    messages: list[str] = []
    for item in objects:
        in_config_map = list(_config_map_texts(item))
        for readable in [*in_config_map, *_container_texts(item)]:
            origins = dict.fromkeys(value.origin for value in confidential if value.is_in(readable.text))
            messages += [f"{readable.place} has the value of {origin}; allowed: {ONLY_SECRETS}" for origin in origins]
        for readable in in_config_map:
            if PRIVATE_KEY.search(readable.text):
                messages.append(f"{readable.place} has a private key; allowed: {ONLY_SECRETS}")
            if JWT.search(readable.text):
                messages.append(f"{readable.place} has a JSON Web Token; allowed: {ONLY_SECRETS}")
    return [_redacted(message, confidential) for message in messages]


def _redacted(message: str, confidential: Sequence[_Confidential]) -> str:
    """The message without what a name or a key in it may have of a Secret."""
    for form in sorted((form for value in confidential for form in value.forms), key=len, reverse=True):
        message = message.replace(form, "[secret]")
    return message


def _config_map_texts(item: Object) -> Iterator[_Readable]:
    if kind_of(item) != "ConfigMap":
        return
    for key, text in texts(item, "data"):
        yield _Readable(f'{title(item)}: the key "{key}"', text)
    for key, text in texts(item, "binaryData"):
        yield _Readable(f'{title(item)}: the key "{key}"', _decoded(text).decode(errors="replace"))


def _container_texts(item: Object) -> Iterator[_Readable]:
    for place, container in containers(item, "initContainers", "containers", "ephemeralContainers"):
        for variable in items(container, "env"):
            value = variable.get("value")
            if isinstance(value, str):
                yield _Readable(f'{place}: the environment variable "{variable.get("name")}"', value)
        for field in ("command", "args"):
            for position, text in texts(container, field):
                yield _Readable(f"{place}: {field}[{position}]", text)


def _values(secret: Object) -> Iterator[_Confidential]:
    plain = [(key, text.encode()) for key, text in texts(secret, "stringData")]
    encoded = [(key, _decoded(text)) for key, text in texts(secret, "data")]
    for key, value in plain + encoded:
        for part in _parts(value):
            yield _Confidential(f'the key "{key}" of {title(secret)}', _forms(part))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        # The API server will refuse it; until then it is what it is.
        return text.encode()


def _parts(value: bytes) -> Iterator[bytes]:
    """What of a value is looked for: itself, its longer lines, and the passwords of a registry's login."""
    stripped = value.strip()
    if _length(stripped) >= SHORTEST_VALUE:
        yield stripped
    lines = [line.strip() for line in stripped.splitlines()]
    if len(lines) > 1:
        for line in lines:
            # Every certificate has those lines.
            if _length(line) >= SHORTEST_LINE and not PEM_BOUNDARY.fullmatch(line.decode(errors="replace")):
                yield line
    yield from _login_parts(stripped)


def _length(value: bytes) -> int:
    return len(value.decode(errors="replace"))


def _login_parts(value: bytes) -> Iterator[bytes]:
    try:
        document: Any = json.loads(value)
    except ValueError:
        return
    for login in mapping(document, "auths").values():
        for field, text in texts(login):
            if field in LOGIN_FIELDS and len(text) >= SHORTEST_VALUE:
                yield text.encode()


def _forms(value: bytes) -> frozenset[str]:
    """The value as text, and its base64 wherever it may begin within a longer encoded text, `user:password` say."""
    forms: set[str] = set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + value).decode()
        # Six bits a character: those at the edges are shared with what stands before and after.
        within = encoded[-(-offset * 8 // 6) : (offset + len(value)) * 8 // 6]
        forms |= {within, within.translate(str.maketrans("+/", "-_"))}
    # A text cannot have other bytes as they are.
    with contextlib.suppress(UnicodeDecodeError):
        forms.add(value.decode())
    return frozenset(forms)
