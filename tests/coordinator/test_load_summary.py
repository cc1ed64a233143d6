"""What summary and console say about the load: asked and achieved, as a whole and in each window."""

import io

import msgspec
import pytest
from helpers.screens import S, facts, histogram
from helpers.summaries import facts_of, keeps_schema

from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.load_text import MOST_ROWS, load_line, windows_table
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import encode, summarise
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import Asked, RunView
from llmstress.engine.telemetry.load_profile import Piece, Profile, Unit
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase, consecutive
from llmstress.engine.telemetry.slo import Objectives, Slo
from llmstress.engine.telemetry.windows import asked_lately, steady_windows


def run(
    stages: int, *, unit: Unit = "requests", label: str = "stage {}", dropped: int = 0, waiting: int = 0
) -> RunView:
    """A run of stages of a second each: in stage n, 100·n requests were asked for and all but `dropped` started."""
    begins = [(Phase.STEADY, label.format(n), (n - 1) * S) for n in range(1, stages + 1)]
    windows = consecutive([*begins, (Phase.DRAIN, "drain", stages * S)])
    view = RunView(facts(), Aggregate.over([50, 50], windows=windows))
    pieces = tuple(Piece((n - 1) * S, n * S, 100.0 * n, 100.0 * n) for n in range(1, stages + 1))
    view.apply(Asked(Profile(unit, pieces)))
    for n in range(1, stages + 1):
        due = 100 * n if unit == "requests" else 0
        started = 100 * n - dropped
        part = Part(
            counters=Counters(due=due, started=started, dropped=dropped, events=20 * started, usage_seen=started),
            ended={"ok": started - 1, "http_503": 1},
            latency={
                "queue": histogram(*[1_300] * started),
                "ttft": histogram(*[200_000] * started),
                "tpot": histogram(*[20_000] * started),
            },
        )
        part.counters.slo_met = started // 2
        made = Delta(0, n - 1, (n - 1) * S, n * S, n - 1, 0, 0, 0, 1, {n - 1: part}, [])
        made.waiting_max = waiting
        view.apply(made)
    return view


def summary_of(view: RunView, *, arrival: str = "poisson", objectives: Objectives | None = None) -> Summary:
    known = msgspec.structs.replace(facts_of(), windows=steady_windows(view), arrival=arrival)
    if objectives is not None:
        known = msgspec.structs.replace(known, objectives=objectives)
    made = summarise(view.aggregate, known)
    keeps_schema(msgspec.json.decode(encode(made)))
    return made


def test_the_load_of_the_open_model() -> None:
    made = summary_of(run(4, dropped=5, waiting=3))
    load = made.load
    assert (load.model, load.arrival, load.unit, load.burstiness) == ("open", "poisson", "requests", None)
    assert (load.due, load.started, load.dropped) == (1_000, 980, 20)
    assert (load.asked_per_s, load.due_per_s, load.achieved_per_s) == (250.0, 250.0, 245.0)
    assert (load.achieved_share, load.waiting_max, load.slip_p99_ms) == (0.98, 3, 1.3)
    assert load_line(load) == (
        "load      asked 250/s, due 250/s, achieved 245/s (98 %), 20 dropped, queue p99 1.30 ms, 3 waited at most"
    )


def test_the_load_of_the_closed_model() -> None:
    made = summary_of(run(2, unit="streams"), arrival="")
    assert made.load == type(made.load)(model="closed", unit="streams", started=300)
    assert load_line(made.load) == ""
    assert [(row.unit, row.asked, row.due, row.dropped, row.achieved_share) for row in made.windows] == [
        ("streams", 100.0, None, None, None),
        ("streams", 200.0, None, None, None),
    ]


@pytest.mark.parametrize(
    ("dropped", "words"),
    [(0, "achieved 100/s (100 %)"), (1, "achieved 99.0/s (99 %)"), (30, "achieved 70.0/s (70 %)")],
)
def test_100_percent_is_said_only_if_nothing_is_missing(dropped: int, words: str) -> None:
    assert words in load_line(summary_of(run(1, dropped=dropped)).load)


def test_almost_everything_is_not_everything() -> None:
    load = msgspec.structs.replace(summary_of(run(1)).load, achieved_share=0.999999)
    assert "(99.99 %)" in load_line(load)
    assert "(103 %)" in load_line(msgspec.structs.replace(load, achieved_share=1.0301))


def test_windows_have_a_row_each_and_add_up() -> None:
    made = summary_of(run(4, dropped=5))
    assert [row.label for row in made.windows] == ["stage 1", "stage 2", "stage 3", "stage 4"]
    assert [(row.begin_s, row.seconds, row.asked) for row in made.windows] == [
        (n - 1, 1.0, 100.0 * n) for n in range(1, 5)
    ]
    assert sum(row.started for row in made.windows) == made.requests.started
    assert sum(row.ok for row in made.windows) == made.requests.ok
    assert sum(row.failed for row in made.windows) == made.requests.failed
    assert [row.failed_by for row in made.windows] == [{"http_503": 1}] * 4
    assert [row.achieved_share for row in made.windows] == [0.95, 0.975, 0.983333, 0.9875]
    assert {row.interactivity for row in made.windows} == {50.0}
    for row in made.windows:
        assert set(row.latency_ms) == {"queue", "ttft", "tpot"}
        assert row.latency_ms["ttft"].count == row.started
        assert isinstance(row.goodput, msgspec.UnsetType)


def test_a_single_window_is_the_summary_itself() -> None:
    made = summary_of(run(1))
    assert made.windows == []
    assert windows_table(made.windows, whole_answers=False) == []


def test_the_table_of_windows() -> None:
    made = summary_of(run(3))
    assert windows_table(made.windows, whole_answers=False) == [
        "window            asked started/s   tok/s  TTFT p50      p99  TPOT p50  failed",
        "stage 1           100/s       100   2,000    200 ms  ~200 ms   20.0 ms   1.0 %",
        "stage 2           200/s       200   4,000    200 ms  ~200 ms   20.0 ms   0.5 %",
        "stage 3           300/s       300   6,000    200 ms  ~200 ms   20.0 ms   0.3 %",
    ]
    table = io.StringIO()
    Console(table).table(made)
    assert "\n\nwindow            asked" in table.getvalue()
    assert "\nload      asked 200/s, due 200/s, achieved 200/s (100 %), 0 dropped" in table.getvalue()


def test_the_table_says_what_was_good_if_that_was_asked() -> None:
    made = summary_of(run(2), objectives=Objectives(slos=(Slo("ttft", 300_000, True, "ttft<300ms"),)))
    lines = windows_table(made.windows, whole_answers=False)
    assert lines[0].endswith("    good")
    assert lines[1].endswith("  50.0 %")
    assert [row.goodput.met for row in made.windows if not isinstance(row.goodput, msgspec.UnsetType)] == [50, 100]


@pytest.mark.parametrize("unit", ["requests", "streams", "trace"])
@pytest.mark.parametrize("whole_answers", [True, False])
def test_the_table_keeps_to_80_columns_and_a_screen_of_lines(unit: Unit, whole_answers: bool) -> None:
    view = run(60, unit=unit, label="a label that is much too long {}")
    rows = summary_of(view, arrival="" if unit == "streams" else "poisson").windows
    lines = windows_table(rows, whole_answers=whole_answers)
    assert max(map(len, lines)) <= 80
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[-1] == "… and 20 more windows in the summary"
    assert len(lines) == MOST_ROWS + 2


def test_the_progress_line_has_asked_and_achieved_side_by_side() -> None:
    view = run(3, dropped=7)
    view.aggregate.workers[0].state = "running"
    view.aggregate.workers[0].waiting = 12

    def line() -> str:
        text = io.StringIO()
        Console(text).progress(snapshot.take(view.aggregate, window_s=1.0, asked_per_s=asked_lately(view, 1.0)))
        return text.getvalue()

    assert "  asked 300/s started 293/s  waiting 12  dropped 21  " in line()
    view.aggregate.workers[0].waiting = 0
    assert "  asked 300/s started 293/s  dropped 21  " in line()
    view.profile = None
    assert "asked" not in line()
