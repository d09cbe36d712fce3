"""Refuses sizes of buffers in snippets that do not go together; inherited sizes count, as NGINX merges them."""

from collections.abc import Iterable, Iterator

from settings.nginx_directives import FREE_BLOCKS
from settings.nginx_tree import Directive
from settings.snippets.model import Finding
from settings.snippets.values import PROXIES

Values = dict[str, Directive]
"""The directive that sets each value, by name."""

_PAGE = 4096
"""The size of a page of memory on the machines that NGINX' images are built for, and NGINX' default for a buffer."""

_DEFAULT_HEADER_BUFFER = 8192
"""NGINX' default of `large_client_header_buffers`, in bytes."""

_DEFAULT_POOL = 512
"""NGINX' default of `connection_pool_size` on 64 bits (`ngx_http_core_merge_srv_conf`)."""

_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def _bytes(text: str) -> int:
    unit = _UNITS.get(text[-1:].lower(), 1)
    digits = text.rstrip("kKmMgG")
    return int(digits) * unit if digits.isdigit() else 0


def _short(count: int) -> str:
    return f"{count // 1024}k" if count % 1024 == 0 else str(count)


def proxy_buffers(inside: Iterable[Directive], outer: Values | None = None) -> Iterator[Finding]:
    """Refuses buffers of answers that NGINX would refuse when it merges them.

    Source: `ngx_http_proxy_merge_loc_conf` and the same function of each other proxy.

    Args:
        inside: the directives of a block.
        outer: the values that hold around it.
    """
    inside = list(inside)
    here = {each.name: each for each in inside if each.body is None and each.arguments}
    values = {**(outer or {}), **here}
    for proxy in PROXIES:
        names = [f"{proxy}_{name}" for name in ("buffer_size", "buffers", "busy_buffers_size")]
        names += [f"{proxy}_temp_file_write_size", f"{proxy}_max_temp_file_size"]
        set_here = [name for name in names if name in here]
        if not set_here:
            continue
        culprit = here.get(f"{proxy}_buffers") or here[set_here[0]]
        message, larger = _Sizes(proxy, values).error()
        if message and larger:
            written = f"{culprit.name} {' '.join(culprit.arguments)};"
            yield Finding(culprit, message, larger if culprit.name == f"{proxy}_buffers" else f"{written} {larger}")
        elif message:
            yield Finding(culprit, message)
    for each in inside:
        if each.body is not None and each.name not in FREE_BLOCKS and each.name != "upstream":
            yield from proxy_buffers(each.inside, values)


class _Sizes:
    """The sizes of one proxy's buffers, in bytes, with NGINX' defaults for those that are not set."""

    def __init__(self, proxy: str, values: Values) -> None:
        self._proxy = proxy
        self._values = values
        self._buffer = self._size("buffer_size", _PAGE)
        many = values.get(f"{proxy}_buffers")
        self._count, self._each = (8, _PAGE)
        if many and len(many.arguments) == 2:
            self._count, self._each = _bytes(many.arguments[0]), _bytes(many.arguments[1])

    def _size(self, name: str, default: int) -> int:
        found = self._values.get(f"{self._proxy}_{name}")
        return _bytes(found.arguments[0]) if found else default

    def error(self) -> tuple[str | None, str]:
        """Returns the first error in the sizes, and the directive that fixes it, if one does."""
        proxy, largest = self._proxy, max(self._buffer, self._each)
        busy = self._size("busy_buffers_size", 2 * largest)
        room = (self._count - 1) * self._each
        so = f"with {proxy}_buffer_size {self._buffer} and {proxy}_buffers {self._count} {self._each}, in bytes"
        if self._count < 2 or not self._each:
            return (
                f"needs at least two {proxy}_buffers",
                f"{proxy}_buffers 8 {_short(max(self._buffer, _PAGE))};",
            )
        if busy < largest:
            return f"makes {proxy}_busy_buffers_size {busy} too small: it must be at least {largest} {so}", ""
        if busy >= room:
            enough = max(8, -(-busy // largest) + 2)
            larger = f"{proxy}_buffers {enough} {_short(largest)};"
            return (
                f"makes {proxy}_busy_buffers_size {busy} too large: it must be below {room} {so}; set `{larger}` for "
                "it",
                larger,
            )
        if self._size("temp_file_write_size", 2 * largest) < largest:
            return f"makes {proxy}_temp_file_write_size too small: it must be at least {largest} {so}", ""
        if 0 < self._size("max_temp_file_size", 2**30) < largest:
            return f"makes {proxy}_max_temp_file_size too small: it must be 0 or at least {largest} {so}", ""
        return None, ""


def header_buffers(inside: Iterable[Directive], outer: Values) -> Iterator[Finding]:
    """Refuses buffers for headers that are smaller than the memory that NGINX sets aside for a connection at once."""
    here = {each.name: each for each in inside if each.arguments}
    values = {**outer, **here}
    large, pool = values.get("large_client_header_buffers"), values.get("connection_pool_size")
    size = _bytes(large.arguments[-1]) if large else _DEFAULT_HEADER_BUFFER
    least = _bytes(pool.arguments[0]) if pool else _DEFAULT_POOL
    if size < least and {"large_client_header_buffers", "connection_pool_size"} & set(here):
        culprit = here.get("large_client_header_buffers") or here["connection_pool_size"]
        message = f"makes large_client_header_buffers of {size} bytes smaller than the connection_pool_size of {least}"
        yield Finding(culprit, message)
