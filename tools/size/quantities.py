"""Writes sizes as quantities of Kubernetes."""

import math

from settings.sizes import MIB


def whole_mebibytes(size: float) -> str:
    """Returns a number of bytes as a quantity of Kubernetes, rounded up to 16 MiB, or from 1 GiB on to 64 MiB."""
    step = 64 if size >= 2**30 else 16
    return f"{math.ceil(size / MIB / step) * step}Mi"


def whole_gibibytes(size: float) -> str:
    """Returns a number of bytes as a quantity of Kubernetes, rounded up to GiB."""
    return f"{max(1, math.ceil(size / 2**30))}Gi"


def whole_cores(cores: float) -> str:
    """Returns cores as a quantity of Kubernetes, rounded up to hundredths."""
    return f"{max(1, math.ceil(round(cores * 100, 6))) * 10}m"
