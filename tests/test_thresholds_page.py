"""docs/thresholds.md has the registry's subjects, and the figures that it names are those of the code.

After a change that is meant, run `UPDATE_DOCS=1 pytest tests/test_thresholds_page.py` and commit the page.
"""

import os
import re
from pathlib import Path

from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.engine.telemetry.histogram import THIN_BELOW
from llmstress.engine.telemetry.intervals import percentile_ranks, share_interval
from llmstress.engine.telemetry.subjects import LEAST_RATE_S, LEAST_SAMPLES, SUBJECTS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "thresholds.md"


def subjects() -> str:
    covers = {"steady": "steady windows", "run": "whole run"}
    rows = [
        f"| `{each.name}{'.STAT' if each.argument == 'statistic' else ''}` | {each.meaning} | {each.unit} "
        f"| {covers[each.covers]} |"
        for each in SUBJECTS.values()
    ]
    return "\n".join(["| subject | meaning | unit | covers |", "|---|---|---|---|", *rows])


def test_the_page_has_the_registry() -> None:
    made = f"<!-- table: subjects -->\n\n{subjects()}\n\n<!-- end -->"
    page = PAGE.read_text("utf-8")
    [found] = re.findall(r"<!-- table: subjects -->\n.*?<!-- end -->", page, re.DOTALL)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page.replace(found, made), "utf-8")
        found = made
    assert found == made, "after a change that is meant: UPDATE_DOCS=1 pytest tests/test_thresholds_page.py"


def test_every_threshold_of_the_page_is_one() -> None:
    page = PAGE.read_text("utf-8")
    found = re.findall(r"`'?([a-z_.0-9]+(?:\.[a-z_0-9]+)+[<>]=?[^`']*)'?`", page)
    found += re.findall(r"--(?:fail|abort)-if '([^']+)'", page)
    assert len(found) >= 8
    for text in found:
        parse_threshold(text)


def test_the_figures_of_the_page() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    for name, least in THIN_BELOW.items():
        assert re.search(rf"{name.replace('_', '.')} (?:needs )?{least:,}", page), name
    high = [share_interval(0, n)[1] or 1.0 for n in (527, 528)]
    assert high[0] > 0.01 >= high[1], "`errors.rate>1%` needs 528 requests without a failure"
    assert "needs 528 requests" in page
    assert f"less than {LEAST_RATE_S:g} s, or a `mean` of fewer than {LEAST_SAMPLES} samples" in page


def test_the_ranks_on_the_page_of_metrics() -> None:
    page = (DOCS / "metrics.md").read_text("utf-8")
    for n in (8, 100, 528, 1000):
        cells = []
        for low, high in (percentile_ranks(n, parts) for parts in (5_000, 9_900)):
            cells.append(f"{low} to {high}" if high is not None else f"{low}, no upper limit")
        assert f"| {n:,} | {cells[0]} | {cells[1]} |" in page
