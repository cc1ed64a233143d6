"""Jain's fairness index."""

import pytest

from llmstress.engine.telemetry.by_task import fairness


@pytest.mark.parametrize(
    ("values", "index"),
    [
        ([5.0], 1.0),
        ([3.0, 3.0, 3.0], 1.0),
        ([1.0, 0.0, 0.0, 0.0], 0.25),
        ([1.0, 2.0, 3.0], 36 / 42),
        ([], None),
        ([0.0], None),
    ],
)
def test_jains_index(values: list[float], index: float | None) -> None:
    assert fairness(values) == (None if index is None else pytest.approx(index))
