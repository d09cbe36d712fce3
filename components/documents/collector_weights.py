"""Builds the processor by which sampled spans say how many requests each stands for (`settings.sampling`)."""

from decimal import Decimal

from components.documents import Document
from settings.sampling import RATIO, WEIGHT, is_partial, weight


def weights(ratio: Decimal | None, *, are_sampled: bool) -> Document:
    """Returns the processor; nothing if all traces are kept.

    Args:
        ratio: the share of the traces that the Collector sends on; none for all.
        are_sampled: whether NGINX's spans say it already, in text.
    """
    actions: list[Document] = []
    if ratio is not None and is_partial(ratio):
        # NGINX's own spans say it together with NGINX's ratio, if it has one: `insert` leaves those alone.
        values = {RATIO: float(ratio), WEIGHT: float(weight(ratio))}
        actions += [{"key": key, "action": "insert", "value": value} for key, value in values.items()]
    if are_sampled:
        # NGINX writes text alone, and Tempo multiplies by a number alone.
        actions += [{"key": key, "action": "convert", "converted_type": "double"} for key in (RATIO, WEIGHT)]
        # A query that sums up weights leaves out spans without one, such as those of applications.
        actions.append({"key": WEIGHT, "action": "insert", "value": 1.0})
    return {"attributes/sampling": {"actions": actions}} if actions else {}
