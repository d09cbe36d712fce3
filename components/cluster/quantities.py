"""Reads and writes Kubernetes' quantities."""

import re
from decimal import ROUND_CEILING, Decimal

from settings.types import amount

_FACTORS = {"n": Decimal("1e-9"), "u": Decimal("1e-6")}


def quantity(text: str) -> Decimal:
    """Reads a quantity as the API server writes it, in more forms than the configuration takes, such as 1e3 and 5u.

    Raises:
        ValueError: the text is no quantity.
    """
    matched = re.fullmatch(r"(-?[\d.]+(?:[eE][+-]?\d+)?)([nu]?)", text)
    return Decimal(matched[1]) * _FACTORS.get(matched[2], Decimal(1)) if matched else amount(text)


def written(resource: str, value: Decimal, *, rounded_down: bool = False) -> str:
    """Writes an amount for people: cores in thousandths, bytes in MiB or GiB, everything else as a number."""
    if resource.endswith(".cpu"):
        thousandths = int(value * 1000) if rounded_down else _up(value * 1000)
        return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"
    if resource.endswith(("memory", "storage")):
        mebibytes = value / 2**20
        whole = int(mebibytes) if rounded_down else _up(mebibytes)
        return f"{whole // 1024}Gi" if whole and whole % 1024 == 0 else f"{whole}Mi" if whole else "0"
    return str(_up(value))


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))
