"""Types of numbers: durations, amounts of CPU and memory, counts, ports and ratios."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from settings.types.model import NearMissError, TypeName, as_text

# One number and one unit, which Go (the Collector, Tempo) and NGINX read alike.
_DURATION = re.compile(r"(\d{1,12})(ms|s|m|h)", re.ASCII)
_TEN_YEARS = Decimal(87_600 * 3600)
"""Our choice, below what Go can count: it has nanoseconds in 64 bits, which are 292 years."""

_UNIT_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}


def seconds(duration: str) -> Decimal:
    """Returns the length of a valid duration, in seconds."""
    matched = _DURATION.fullmatch(duration)
    if matched is None:
        raise ValueError(f"not a duration: {duration!r}")
    return int(matched[1]) * _UNIT_SECONDS[matched[2]]


def _duration(text: str) -> str:
    longer = re.fullmatch(r"(\d{1,4})([dw])", text, re.ASCII)
    if longer:
        hours = int(longer[1]) * (24 if longer[2] == "d" else 168)
        raise NearMissError(f"must have the unit ms, s, m or h, which Go and NGINX both know: {hours}h", f"{hours}h")
    if not _DURATION.fullmatch(text):
        raise ValueError("must be a whole number with its unit: ms, s, m or h, such as 500ms or 48h")
    if seconds(text) == 0:
        raise ValueError("must be longer than zero")
    if seconds(text) > _TEN_YEARS:
        raise ValueError("must be at most 87600h, which are ten years")
    return text


def _whole_seconds(duration: str) -> str:
    if seconds(duration) % 1:
        raise ValueError("must be whole seconds: Kubernetes counts in them")
    return duration


def at_most(limit: str) -> AfterValidator:
    """Checks that a duration is no longer than a limit."""

    def check(duration: str) -> str:
        if seconds(duration) > seconds(limit):
            raise ValueError(f"must be at most {limit}")
        return duration

    return AfterValidator(check)


def no_shorter(limit: str, reason: str) -> AfterValidator:
    """Checks that a duration is no shorter than a limit; the error ends with the reason."""

    def check(duration: str) -> str:
        if seconds(duration) < seconds(limit):
            raise ValueError(f"must be at least {limit}: {reason}")
        return duration

    return AfterValidator(check)


Duration = Annotated[str, BeforeValidator(as_text), AfterValidator(_duration), TypeName("duration")]
WholeSeconds = Annotated[Duration, AfterValidator(_whole_seconds), TypeName("duration")]

# Kubernetes' quantities, as its API server reads them (k8s.io/apimachinery/pkg/api/resource).
_QUANTITY = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?", re.ASCII)
_QUANTITY_FACTORS = {"": Decimal(1), "m": Decimal("0.001")} | {
    unit: Decimal(base**power)
    for base, suffix in ((1000, ""), (1024, "i"))
    for power, unit in (
        (number + 1, letter + suffix) for number, letter in enumerate(("K" if suffix else "k", *"MGTPE"))
    )
}


def amount(quantity: str) -> Decimal:
    """Returns a valid quantity as a number of cores or bytes."""
    matched = _QUANTITY.fullmatch(quantity)
    if matched is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    return Decimal(matched[1]) * _QUANTITY_FACTORS[matched[2] or ""]


def at_least(limit: str, reason: str = "") -> AfterValidator:
    """Checks that a number of bytes is no smaller than a limit; the error ends with the reason, if one is given."""

    def check(size: str) -> str:
        if amount(size) < amount(limit):
            raise ValueError(f"must be at least {limit}{': ' if reason else ''}{reason}")
        return size

    return AfterValidator(check)


_MOST_CORES = 100_000
"""Our choice: more cores than any node has."""

_MOST_BYTES = 2**60
"""Our choice, an eighth of the largest signed 64-bit number: sums in Kubernetes and in Go programs then fit one."""


def _cpu(text: str) -> str:
    matched = _QUANTITY.fullmatch(text)
    if matched is None or matched[2] not in {None, "m"} or not 0 < amount(text) <= _MOST_CORES:
        raise ValueError("must be cores, such as 2 or 0.5, or thousandths of one, such as 500m")
    return text


def _bytes(text: str) -> str:
    matched = _QUANTITY.fullmatch(text)
    if matched is None or matched[2] == "m" or not 0 < amount(text) <= _MOST_BYTES:
        raise ValueError("must be bytes with a unit, such as 256Mi or 2G")
    if matched[2] is None and amount(text) < 1_000_000:
        # `memory: 512` is half a kilobyte, which no container works with: the person forgot the unit.
        raise ValueError("must be bytes with a unit, such as 256Mi or 2G")
    return text


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


LEAST_MEMORY = "16Mi"
"""Our choice: the smallest container of the stack, the gateway, has 14 MiB in use without a connection (measured)."""

Cpu = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_cpu), TypeName("cores")]
Bytes = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_bytes), TypeName("bytes")]
MemoryLimit = Annotated[Bytes, at_least(LEAST_MEMORY, "with less, a container hardly starts"), TypeName("bytes")]

# Kubernetes counts replicas in signed 32-bit numbers.
Count = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True), TypeName("integer")]
# TCP has 16 bits for a port, and 0 means none.
Port = Annotated[int, Field(ge=1, le=2**16 - 1, strict=True), TypeName("port")]


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _no_percentage(value: Any) -> Any:
    matched = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%\s*", value, re.ASCII) if isinstance(value, str) else None
    if matched:
        raise ValueError(f"must be a number from 0 to 1, not a percentage: {Decimal(matched[1]) / 100:f}")
    return value


Ratio = Annotated[
    Decimal,
    BeforeValidator(_no_boolean),
    BeforeValidator(_no_percentage),
    Field(ge=0, le=1),
    # -0 equals 0, but documents would show its sign.
    AfterValidator(abs),
    TypeName("number from 0 to 1"),
]
