"""Resources of the Collector's container, and the choice of spans that it sends on."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from settings.general import Resources
from settings.types import Bytes, Count, Duration, MemoryLimit, Model, Ratio


def _countable(ratio: Decimal) -> Decimal:
    if 0 < ratio < Decimal("0.000000001"):
        # probabilistic_sampler of Collector 0.126 refuses a smaller share.
        raise ValueError("must be 0, or at least 0.000000001: the Collector refuses a smaller share")
    return ratio


TraceRatio = Annotated[Ratio, AfterValidator(_countable)]


class CollectorResources(Resources):
    """Resources of the Collector's container. Its heap stays within 80 % of the memory limit."""

    memory: Bytes = Field(default="128Mi", description="Memory request.")
    memory_limit: MemoryLimit = Field(
        default="500Mi",
        description="Memory above which the kernel ends the container. Spans that wait in memory count towards it.",
    )


class TailSampling(Model):
    """Which whole traces are kept: those that at least one rule keeps, once their spans have had time to arrive."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("deciders", "decidercount"), "the number of Collectors that decide is `collector.sampling.tail.replicas`"
        ),
        "numtraces": "the number of traces that wait is `collector.sampling.tail.traces`",
    }

    decision_wait: Duration = Field(
        default="5s",
        description="Time from a trace's first span to the decision. The Collector sends none of it before.",
    )
    # Our choice: at `SPAN_BYTES` a trace, the upper bound is 75 GB of memory.
    traces: Annotated[Count, Field(le=100_000_000)] = Field(
        default=100_000,
        description="Number of traces that wait in memory for their decision. If more come, the oldest is dropped "
        "undecided.",
    )
    errors: bool = Field(default=True, description="Keep traces with a span of status ERROR (5xx, for NGINX).")
    latency: Duration | None = Field(
        default=None, description="Keep traces that took longer than this.", examples=["500ms"]
    )
    ratio: TraceRatio | None = Field(default=None, description="Keep this share of all traces.", examples=["0.1"])
    replicas: Count | None = Field(
        default=None,
        description="Number of pods that decide, behind the `collector.replicas` that receive spans, if those are two "
        "or more. Unset: as many. A change of the number splits traces that wait for their decision then.",
        examples=[3],
    )
    resources: CollectorResources | None = Field(
        default=None,
        description="Resources of the container that decides, in which traces wait. Unset: `collector.resources`. For "
        "`collector.replicas` of two or more.",
    )


class CollectorSampling(Model):
    """Which spans the Collector sends on: all, unless one of the two is set."""

    ratio: TraceRatio | None = Field(
        default=None,
        description="Share of the traces that the Collector sends on, the same ones in every replica. Unset: all.",
        examples=["0.1"],
    )
    tail: TailSampling | None = Field(
        default=None,
        description="Decide for whole traces. Not with the distribution core. With `collector.replicas` of two or "
        "more, these pods receive spans alone, and others behind them decide.",
    )
