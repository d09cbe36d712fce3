"""Says how many requests a sampled span stands for: the attributes by which metrics of spans are those of all requests.

Of requests that NGINX or the Collector samples, each span says the share that it was taken with, and the number of
requests that it stands for. Tempo multiplies by the first (`span_multiplier_key`). A query of TraceQL sums up the
second (`sum_over_time(span.sampling.weight)`). Both are numbers: NGINX can only write text, so
the Collector converts them.
"""

from decimal import Decimal

from settings.collector import CollectorSettings
from settings.nginx import NginxSettings
from settings.plus import PlusSettings

RATIO = "sampling.ratio"
WEIGHT = "sampling.weight"


def is_partial(ratio: Decimal | None) -> bool:
    """Tells whether a ratio takes some requests and leaves others out."""
    return ratio is not None and 0 < ratio < 1


def samples(nginx: NginxSettings, plus: PlusSettings | None = None) -> bool:
    """Tells whether NGINX traces a share of the requests anywhere."""
    ratios = [nginx.sampling.ratio, *(route.sampling.ratio for route in nginx.routes if route.sampling)]
    return any(map(is_partial, ratios)) or bool(plus and plus.sampling_ratios)


def kept(collector: CollectorSettings) -> Decimal:
    """Returns the share of the traces that the Collector sends on by `sampling.ratio`; 1 without one."""
    ratio = collector.sampling.ratio
    return ratio if collector.enabled and ratio else Decimal(1)


def weight(ratio: Decimal) -> str:
    """Returns the number of requests that a span with that ratio stands for, as text that reads as a number."""
    return repr(float(1 / ratio))
