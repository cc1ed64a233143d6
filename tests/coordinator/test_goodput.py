"""Goodput, fluidity and smooth goodput in the summary, the table, the progress line and the timeline."""

import io
import json

import msgspec
import pytest
from hdrh.histogram import HdrHistogram
from helpers.processes import llmstress, mock_server
from helpers.screens import facts
from helpers.summaries import S, check, facts_of, keeps_schema

from llmstress.coordinator.config.slo_text import parse_deadlines, parse_slo
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.judging_schema import Fluidity, Goodput, SmoothGoodput
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import summarise
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView, decode, encode
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase
from llmstress.engine.telemetry.slo import Objectives

SLOS = Objectives((parse_slo("ttft<500ms"), parse_slo("tpot<=40ms")))
ALL = Objectives(SLOS.slos, parse_deadlines("first=500ms,token=50ms"), 20.0)


def part_of(*, met: int, missed: int, unknown: int = 0, failed: int = 0) -> Part:
    """Answers of ten tokens; those that miss the SLOs miss that of ttft."""
    counters = Counters(
        started=met + missed + unknown + failed,
        output=10 * (met + missed + unknown),
        slo_met=met,
        slo_unknown=unknown,
        good_output=10 * met,
    )
    ended = {"ok": met + missed + unknown, "http_503": failed, "cancelled": 3}
    return Part(counters, ended, missed={"ttft<500ms": missed} if missed else {})


def after(*parts: tuple[Phase, Part]) -> Aggregate:
    """A run with a second for each of these."""
    total = Aggregate.over([10])
    total.workers[0].state = "running"
    for number, (phase, part) in enumerate(parts):
        total.merge(Delta(0, number, number * S, (number + 1) * S, phase, 0, 10, 0, 0, {int(phase): part}, []))
    return total


def test_goodput_is_that_of_the_steady_window() -> None:
    total = after(
        (Phase.WARMUP, part_of(met=0, missed=50)),
        (Phase.STEADY, part_of(met=40, missed=30, unknown=10, failed=20)),
        (Phase.DRAIN, part_of(met=0, missed=50)),
    )
    made = summarise(total, facts_of(steady_s=2.0, objectives=SLOS))
    assert made.goodput == Goodput(
        slos=["ttft<500ms", "tpot<=40ms"],
        finished=100,
        met=40,
        unknown=10,
        missed={"ttft<500ms": 30, "tpot<=40ms": 0},
        share=0.4,
        share_max=0.5,
        # of Clopper and Pearson: the lower limit of 40 of 100, the upper one of 50 of 100
        share_interval=(0.276258, 0.631139),
        per_s=20.0,
        tokens_per_s=200.0,
    )
    assert made.fluidity is made.smooth_goodput is msgspec.UNSET
    assert [row.good for row in made.timeline] == [0, 40, 0]
    [note] = [rule.text for rule in made.verdict.rules if rule.id == "slo-unknown"]
    assert "10 of 80 answers" in note
    assert "40.0–50.0 %" in note
    table = io.StringIO()
    Console(table).table(made)
    assert (
        "goodput   40.0–50.0 % of 100 in the steady window, 20.0 req/s, 200 tok/s; missed: ttft<500ms by 30, "
        "tpot<=40ms by 0; 10 unknown" in table.getvalue().splitlines()
    )


def test_fluidity_and_smooth_goodput_are_figures_of_their_own() -> None:
    part = Part(Counters(deadlines=1000, deadlines_missed=50, fluid=98, benefit_milli=900_500), {"ok": 110})
    part.aside["missed_deadlines"], part.aside["idle"] = Histogram(), Histogram()
    part.aside["missed_deadlines"].record_many([0] * 80 + [1_000] * 18 + [3_000] * 2)
    part.aside["idle"].record_many([0] * 60 + [100_000] * 40)
    made = summarise(after((Phase.STEADY, part)), facts_of(steady_s=10.0, objectives=ALL))
    assert isinstance(fluid := made.fluidity, Fluidity)
    assert (fluid.first_ms, fluid.token_ms) == (500, 50)
    assert (fluid.answers, fluid.without, fluid.deadlines, fluid.missed) == (100, 10, 1000, 50)
    assert (fluid.deadlines_met, fluid.fluid_share) == (0.95, 0.98)
    assert (fluid.index.p50, fluid.index.p10, fluid.index.p1) == pytest.approx((1, 0.9, 0.7), abs=1e-3)
    assert fluid.index.low_sample == ["p1"]
    assert fluid.index.intervals["p10"] == pytest.approx((0.9, 0.9), abs=1e-3)
    assert fluid.index.intervals["p1"][0] is None
    assert isinstance(smooth := made.smooth_goodput, SmoothGoodput)
    assert (smooth.reading_speed, smooth.answers, smooth.without, smooth.tokens_per_s) == (20, 100, 10, 90.05)
    assert (smooth.idle_ms.p50, smooth.idle_ms.max) == (0, 100)
    table = io.StringIO()
    Console(table).table(made)
    lines = table.getvalue().splitlines()
    assert "fluidity  95.0 % of the deadlines met; 98.0 % of 100 answers with an index of 0.9 or more" in lines
    assert "smooth    90.0 tok/s; idle p50 0.00 ms, p99 100 ms" in lines


def test_a_run_without_any_answer_has_no_shares() -> None:
    made = summarise(Aggregate.over([10]), facts_of(steady_s=0, objectives=ALL))
    assert isinstance(made.goodput, Goodput)
    assert made.goodput.share is made.goodput.share_max is made.goodput.per_s is None
    assert isinstance(made.fluidity, Fluidity)
    assert made.fluidity.deadlines_met is made.fluidity.fluid_share is made.fluidity.index.p1 is None
    assert isinstance(made.smooth_goodput, SmoothGoodput)
    assert made.smooth_goodput.tokens_per_s is None
    table = io.StringIO()
    Console(table).table(made)
    assert "goodput   – of 0 in the steady window; missed" in table.getvalue()
    encoded = msgspec.json.encode(made)
    keeps_schema(json.loads(encoded))
    assert msgspec.json.decode(encoded, type=Summary) == made


def test_without_slos_the_summary_does_not_speak_of_them() -> None:
    made = summarise(after((Phase.STEADY, part_of(met=0, missed=0))), facts_of())
    assert made.goodput is made.fluidity is made.smooth_goodput is msgspec.UNSET
    assert [row.good for row in made.timeline] == [None]


def test_live_goodput_covers_the_last_seconds() -> None:
    total = after(
        *[(Phase.STEADY, part_of(met=0, missed=100))] * 3,
        (Phase.STEADY, part_of(met=90, missed=10)),
        (Phase.STEADY, part_of(met=70, missed=0, unknown=10, failed=20)),
    )
    good = snapshot.take(total, window_s=2.0).now.goodput
    assert (good.met, good.unknown, good.finished, good.missed) == (160, 10, 200, {"ttft<500ms": 10})
    assert (good.per_s, good.tokens_per_s) == (80, 800)
    assert (good.share, good.share_max) == (0.8, 0.85)
    assert snapshot.steady(total, 5.0).goodput.per_s == 32
    line, without = io.StringIO(), io.StringIO()
    Console(line).progress(snapshot.take(total), SLOS)
    Console(without).progress(snapshot.take(total))
    assert line.getvalue().endswith("failed 10 % http_503  good 80.0–85.0 % 80.0 req/s\n")
    assert without.getvalue().endswith("failed 10 % http_503\n")


def test_old_slots_and_rows_keep_their_good_requests() -> None:
    parts = [(Phase.STEADY, part_of(met=3, missed=1, unknown=1))] * 30
    total = after(*parts)
    slots = snapshot.history(total)
    assert len(total.earlier) > 0
    assert sum(slot.slo_met for slot in slots) == 90
    assert sum(slot.slo_unknown for slot in slots) == 30
    assert sum(slot.good_output for slot in slots) == 900
    assert sum(slot.missed["ttft<500ms"] for slot in slots) == 30
    total.rows[0].absorb(total.rows[1])
    assert total.rows[0].good == 6


def test_a_viewer_knows_the_objectives() -> None:
    view = RunView(msgspec.structs.replace(facts(), objectives=ALL), Aggregate.over([1]))
    shown = decode(encode(view))
    assert isinstance(shown, RunView)
    assert shown.facts.objectives == ALL


EDGE_US = 1563 * 64
"""The lowest value of a bin of the histogram: a value is below it exactly if its bin is."""


def test_the_share_of_a_run_is_that_of_its_samples() -> None:
    slo, limit = f"ttft<{EDGE_US / 1000}ms", EDGE_US
    with mock_server("--ttft-ms", "100", "--jitter", "0.5", "--tokens", "4") as server:
        code, summary, said = llmstress(
            *("--url", server.url, "--model", "mock-7b", "--procs", "2", "--total-streams", "20", "--requests", "200"),
            *("--slo", slo, "--slo", "e2e<1h", "--deadline", "first=1h,token=1h", "--reading-speed", "0.1"),
            "--histograms",
        )
        truth = server.stop()
    check(summary)
    assert code == 0
    ttft = HdrHistogram.decode(summary["histograms"]["ttft"])
    below = sum(
        each.count_at_value_iterated_to for each in ttft.get_recorded_iterator() if each.value_iterated_to < limit
    )
    good = summary["goodput"]
    assert good["finished"] == truth["done"] == 200
    assert good["met"] == below
    assert good["missed"] == {slo: 200 - below, "e2e<1h": 0}
    assert 0 < good["met"] < 200, "half of the mock's answers come in time"
    assert good["share"] == good["share_max"] == round(below / 200, 6)
    steady_s = summary["run"]["phases_s"]["steady"]
    assert good["per_s"] == pytest.approx(below / steady_s, rel=1e-3)
    assert good["tokens_per_s"] == pytest.approx(4 * below / steady_s, rel=1e-3)
    assert summary["fluidity"]["deadlines"] == truth["tokens"] == 800
    assert summary["fluidity"]["deadlines_met"] == summary["fluidity"]["fluid_share"] == 1
    assert summary["smooth_goodput"]["tokens_per_s"] == pytest.approx(800 / steady_s, rel=1e-3)
    assert sum(row["good"] for row in summary["timeline"]) == below
    assert summary["run"]["options"]["slos"] == [slo, "e2e<1h"]
    assert "goodput   " in said
