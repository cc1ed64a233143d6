"""docs/metrics.md says what the code does: its tables are made from the code's.

After a change that is meant, run `UPDATE_DOCS=1 pytest tests/test_metrics_page.py` and commit the page.
"""

import ast
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from llmstress.coordinator.config.errors import ExitCode
from llmstress.coordinator.config.slo_presets import PRESETS
from llmstress.engine.stream import pace
from llmstress.engine.telemetry.classes import ACTIONS, CLASSES, HTTP, STATUS_ACTIONS
from llmstress.engine.telemetry.histogram import PERCENTILES, THIN_BELOW, Histogram
from llmstress.engine.telemetry.metrics import METRICS, STAMPS
from llmstress.engine.telemetry.rules import Rule
from llmstress.engine.telemetry.verdict import RULES
from llmstress.tui.format.words import ENDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/metrics.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    first, *others = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([first, f"|{'---|' * len(head)}", *others])


def stamps() -> str:
    linked = {name: when.replace("token event", "[token event](#token-events)") for name, when in STAMPS.items()}
    return table(["stamp", "when"], [[f"`{name}`", when] for name, when in linked.items()])


def metrics() -> str:
    whose = {"all": "all requests", "ok": "ok requests", "none": "the client"}
    rows = [
        [f"`{each.name}`", each.meaning, each.difference, f"`{each.window_stamp}`", whose[each.requests]]
        for each in METRICS.values()
    ]
    return table(["metric", "meaning", "formula", "completed by", "samples of"], rows)


def percentiles() -> str:
    """The smallest samples that have a percentile, found by trying."""

    def least(name: str) -> int:
        n = 1
        while Histogram({1: n}, n, n, 1, 1).percentile(name) is None:
            n += 1
        return n

    rows = [[f"`{name}`", f"{least(name):,}", f"{THIN_BELOW[name]:,}"] for name in PERCENTILES]
    return table(["percentile", "null with fewer samples than", "low sample with fewer than"], rows)


def classes() -> str:
    def linked(when: str) -> str:
        return when.replace("the answer's end", "[the answer's end](#the-end-of-an-answer)")

    rows = [
        [f"`{each.name}`", linked(each.when) + (f" (`{each.limit}`)" if each.limit else ""), each.counted_in]
        for each in CLASSES
    ]
    return table(["class", "when", "counted in"], rows)


def actions() -> str:
    rows = []
    for action, meaning in ACTIONS.items():
        named = [f"`{each.name}`" for each in CLASSES if each.action == action and each.counted_in == "failed"]
        statuses = [str(status) for status, each in STATUS_ACTIONS.items() if each == action]
        if action == "count":
            which = "all other statuses and classes"
        else:
            which = ", ".join([*(name for name in named if name != f"`{HTTP}`"), *statuses])
        rows.append([f"`{action}`", meaning, which])
    return table(["action", "meaning", "default of"], rows)


def rule(each: Rule) -> list[str]:
    """The cells of a rule, without its status."""

    def shown(template: str) -> str:
        return re.sub(r"\{(\w+)[^}]*\}", r"{\1}", template)

    return [f"`{each.id}`", each.looks_at, each.limit, shown(each.sentence), shown(each.advice) or "–"]


RULE_HEAD = ["id", "looks at", "limit", "says", "what to do"]


def reasons() -> str:
    rows = [[each.status, *rule(each)] for each in RULES if each.status != "note"]
    return table(["status", *RULE_HEAD], rows)


def notes() -> str:
    return table(RULE_HEAD, [rule(each) for each in RULES if each.status == "note"])


def exit_codes() -> str:
    return table(["code", "meaning"], [[f"{each:d}", each.meaning] for each in ExitCode])


def slo_presets() -> str:
    rows = [[f"`{name}`", ", ".join(f"`{slo.text}`" for slo in slos)] for name, slos in PRESETS.items()]
    return table(["preset", "SLOs"], rows)


TABLES = {
    "stamps": stamps,
    "metrics": metrics,
    "percentiles": percentiles,
    "slo-presets": slo_presets,
    "classes": classes,
    "actions": actions,
    "reasons": reasons,
    "notes": notes,
    "exit-codes": exit_codes,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_has_the_code_s_table(name: str) -> None:
    made = f"<!-- table: {name} -->\n\n{TABLES[name]()}\n\n<!-- end -->"
    page = PAGE.read_text("utf-8")
    [found] = re.findall(rf"<!-- table: {name} -->\n.*?<!-- end -->", page, re.DOTALL)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page.replace(found, made), "utf-8")
        found = made
    assert found == made, "after a change that is meant: UPDATE_DOCS=1 pytest tests/test_metrics_page.py"


def test_the_page_has_no_other_tables_of_the_code() -> None:
    assert set(re.findall(r"<!-- table: (\S+) -->", PAGE.read_text("utf-8"))) == set(TABLES)


def rows_below(heading: str) -> list[str]:
    """First cells of the rows of the first table below a heading."""
    section = PAGE.read_text("utf-8").partition(f"\n{heading}\n")[2]
    lines = section[section.index("\n|") + 1 :].partition("\n\n")[0].splitlines()
    return [line.split("|")[1].strip().strip("`") for line in lines[2:]]


@pytest.mark.parametrize(
    ("heading", "cases"),
    [
        ("## Worked cases", "test_metrics.py"),
        ("### Worked cases of goodput", "test_objectives.py"),
        ("### Worked cases of cost", "test_cost.py"),
    ],
)
def test_worked_cases_are_tests_and_tests_name_the_page(heading: str, cases: str) -> None:
    tree = ast.parse((ROOT / "tests/engine" / cases).read_text("utf-8"))
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    section = PAGE.read_text("utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(test_\w+)`", section)
    assert len(named) == len(set(named)) == len(rows_below(heading))
    assert set(named) <= tests
    assert "docs/metrics.md" in (ast.get_docstring(tree) or "")


def test_reasons_for_the_end_of_a_run_are_those_that_the_screen_knows() -> None:
    assert set(rows_below("### Reasons for the end of a run")) == set(ENDS)


def test_reasons_of_an_undetermined_tpot_are_the_code_s() -> None:
    section = PAGE.read_text("utf-8").partition("\n## Time per token\n")[2].partition("\n## ")[0]
    reasons = {pace.FEW_PIECES, pace.BUNDLED, pace.HIDDEN, pace.FEWER, pace.STALE}
    assert reasons == set(re.findall(r"^\| `([a-z ]+)` \|", section, re.MULTILINE))
