"""Compares what `python -m tools size` predicts with what the lab's Collector and Tempo use on loopback.

The loads are between those that were measured, and a prediction may be 30 % off.
"""

from pathlib import Path

import pytest

from tools.measure.cost.stored import Case, measured, result
from tools.size.figures import figures

# It measures time, for more than a minute each; tests/unit/test_size.py has what the command computes from the figures.
pytestmark = [pytest.mark.usefixtures("programs"), pytest.mark.alone, pytest.mark.deep]


@pytest.mark.parametrize("case", [Case(0, 1000), Case(200, 800), Case(1200, 600)], ids=str)
def test_loads_between_the_measured_ones_cost_what_is_predicted(case: Case, tmp_path: Path) -> None:
    seen = {name: float(number) for name, number in result(case, measured(tmp_path, case)).details.items()}
    spans, size, known = seen["spans/s"], seen["bytes a span"], figures()
    predicted = {
        "stored bytes a span": known.stored(size),
        "Collector: CPU seconds of a million spans": known.collector_cores(spans, size) / spans * 1e6,
        "Tempo: CPU seconds of a million spans": known.tempo_cores(spans, size) / spans * 1e6,
    }
    assert {name: seen[name] for name in predicted} == pytest.approx(predicted, rel=0.3)
