"""Deltas add up, whatever their order and however they were merged on the way."""

import msgspec
import pytest

from llmstress.engine.telemetry import aggregate as module
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunFacts, RunView, encode
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, ErrorSample, Part, Phase, RateLimit

S = 1_000_000_000


def histogram(*us: int) -> Histogram:
    made = Histogram()
    made.record_many(us)
    return made


def delta(
    worker: int = 0,
    seq: int = 0,
    at: float = 0.25,
    part: Part | None = None,
    *,
    length: float = 0.25,
    open_max: int = 0,
    samples: tuple[ErrorSample, ...] = (),
) -> Delta:
    return Delta(
        worker=worker,
        seq=seq,
        t_from=int((at - length) * S),
        t_to=int(at * S),
        window=Phase.STEADY,
        open=open_max,
        open_max=open_max,
        merged=0,
        rss=1000 * (seq + 1),
        parts={2: part or Part()},
        samples=list(samples),
    )


FACTS = RunFacts(
    version="0",
    interval_s=0.25,
    api="openai-chat",
    url="http://127.0.0.1/",
    model="m",
    procs=1,
    streams=1,
    total_streams=1,
    ramp_s=0.0,
    warmup_s=0.0,
    steady_s=60.0,
    grace_s=1.0,
    requests=None,
    whole_run=False,
    started_at="2026-01-01T00:00:00Z",
)


def part(started: int = 0, events: int = 0, ttft: tuple[int, ...] = (), **ended: int) -> Part:
    return Part(
        counters=Counters(started=started, events=events),
        ended=ended,
        latency={"ttft": histogram(*ttft)} if ttft else {},
    )


def test_workers_add_up() -> None:
    total = Aggregate.over([10, 10])
    total.merge(delta(0, 0, 0.25, part(5, 50, (1000, 2000), ok=2), open_max=3))
    total.merge(delta(1, 0, 0.25, part(4, 40, (3000,), ok=1, http_500=1), open_max=2))
    total.merge(delta(0, 1, 0.50, part(1, 10, ok=4), open_max=4))
    assert total.counters().started == 10
    assert total.ended() == {"ok": 7, "http_500": 1}
    assert total.failed() == 1
    assert total.steady.latency["ttft"].count == 3
    assert total.peak == 6
    [row] = total.rows
    assert (row.requests, row.events, row.failed, row.latency.count, row.open) == (8, 100, 1, 3, 6)


def test_a_delta_survives_the_wire() -> None:
    sent = delta(1, 7, 3.5, part(5, 50, (1000, 2000), ok=2), samples=(ErrorSample("http_500", 500, "x", "r"),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Delta) == sent


def test_a_gap_in_the_numbers_is_a_missing_delta() -> None:
    total = Aggregate.over([1])
    total.merge(delta(0, 0))
    total.merge(delta(0, 3, 1.0))
    assert total.workers[0].gaps == 2


def test_retracted_samples_leave_the_totals_but_not_the_moment_they_were_seen_in() -> None:
    total = Aggregate.over([1])
    total.merge(delta(0, 0, 0.25, part(1, 2, (1000, 5000))))
    moved = histogram(5000)
    late = Part(ended={"truncated": 1}, latency_failed={"ttft": moved}, retracted={"ttft": moved.copy()})
    total.merge(delta(0, 1, 5.25, late))
    steady = total.steady
    assert (steady.latency["ttft"].count, steady.latency["ttft"].sum) == (1, 1000)
    assert steady.latency_failed["ttft"].count == 1
    assert not steady.retracted
    assert total.rows[0].latency.count == 2


def test_samples_that_are_taken_back_although_their_delta_was_lost_change_nothing_else() -> None:
    total = Aggregate.over([1])
    total.merge(delta(0, 1, part=Part(retracted={"ttft": histogram(1)})))
    total.merge(delta(0, 2, part=Part(latency={"ttft": histogram(7)}, retracted={"ttft": histogram(1)})))
    assert total.workers[0].gaps == 1
    assert total.steady.latency["ttft"] == histogram(7)


def test_a_lost_worker_leaves_its_open_requests_as_lost() -> None:
    total = Aggregate.over([5, 5])
    for worker in total.workers:
        worker.state = "running"
    total.merge(delta(0, 0, part=part(5, ok=2), open_max=3))
    total.merge(delta(1, 0, part=part(5, ok=5)))
    assert total.open == 3
    total.lose(0, "killed by SIGKILL")
    assert total.ended() == {"ok": 7, "lost": 3}
    assert total.open == 0
    assert "SIGKILL" in total.samples["lost"][0].text
    assert sum(total.ended().values()) == total.counters().started


def test_three_distinct_samples_are_kept_over_all_workers() -> None:
    total = Aggregate.over([1, 1])
    for worker in (0, 1):
        texts = [f"{worker * 2 + n}" for n in range(3)]
        total.merge(delta(worker, samples=tuple(ErrorSample("reset", 0, text, "") for text in texts)))
    assert [sample.text for sample in total.samples["reset"]] == ["0", "1", "2"]


def test_the_timeline_is_bounded_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 8)
    total = Aggregate.over([1, 1])
    for second in range(100):
        for worker in (0, 1):
            total.merge(delta(worker, second, second + 0.5, part(1, 10, (1000 + second,), ok=1), open_max=second % 7))
    assert len(total.rows) <= 8
    assert total.row_ns == 16 * S
    assert sum(row.events for row in total.rows) == 2000
    assert sum(row.requests for row in total.rows) == 200
    assert sum(row.latency.count for row in total.rows) == 200
    assert [row.open for row in total.rows] == [12] * 7
    assert total.peak == 12


def test_a_snapshot_looks_back_a_few_seconds() -> None:
    total = Aggregate.over([10, 10])
    for worker in total.workers:
        worker.state = "running"
    for quarter in range(1, 41):
        slow = quarter > 32
        total.merge(delta(0, quarter - 1, quarter / 4, part(10, 100, (9000,) if slow else (1000,), ok=10), open_max=10))
    picture = snapshot.take(total, window_s=2.0)
    assert picture.elapsed_s == 10
    assert (picture.open, picture.target) == (10, 20)
    assert picture.now.events_per_s == pytest.approx(400)
    assert picture.now.requests_per_s == pytest.approx(40)
    assert picture.now.percentile("ttft", "p50") == 9000
    assert picture.whole.finished == 400
    assert len(total.recent) <= 45


def test_live_failures_are_those_of_the_window_by_class() -> None:
    total = Aggregate.over([1])
    for second in range(1, 11):
        outcome = "http_503" if second <= 7 else "reset"
        total.merge(
            delta(0, second - 1, second, part(0, 0, (), ok=3, cancelled=1, filtered=1, **{outcome: 2}), length=1.0)
        )
    now = snapshot.take(total, window_s=2.0).now
    assert (now.failed, now.finished, now.failed_by) == (4, 12, {"reset": 4})
    assert snapshot.take(total).whole.failed_by == {"http_503": 14, "reset": 6}
    assert [row.failed_by for row in total.rows] == [{"http_503": 2}] * 7 + [{"reset": 2}] * 3
    assert all(row.failed == sum(row.failed_by.values()) for row in total.rows)


@pytest.mark.parametrize(
    ("per_quarter", "span", "samples"),
    [(5, None, 100), (3, 10.0, 120), (2, 20.0, 160), (1, 30.0, 120)],
)
def test_a_latency_looks_back_until_its_p99_has_its_samples(per_quarter: int, span: float | None, samples: int) -> None:
    total = Aggregate.over([1])
    for quarter in range(1, 401):
        ttft = tuple(1000 + n for n in range(per_quarter))
        made = part(1, 10, ttft, ok=1)
        made.latency["itl"] = histogram(*range(100))
        total.merge(delta(0, quarter - 1, quarter / 4, made))
    now = snapshot.take(total, window_s=5.0, widen=True).now
    assert now.seconds == 5
    assert now.spans == ({} if span is None else {"ttft": span})
    assert samples - 10 * per_quarter < now.latency["ttft"].count <= samples, "but for a slot at the edge of the window"
    assert now.latency["itl"].count == 2000, "what has its samples looks back no further"
    assert now.percentile("ttft", "p99") is not None
    narrow = snapshot.take(total, window_s=5.0).now
    assert (narrow.spans, narrow.latency["ttft"].count) == ({}, 20 * per_quarter)
    assert (narrow.events_per_s, narrow.failed) == (now.events_per_s, now.failed)


def test_a_window_that_can_t_be_widened_enough_says_how_far_it_looks() -> None:
    total = Aggregate.over([1])
    for second in range(1, 101):
        total.merge(delta(0, second - 1, second, part(1, 10, (1000,), ok=1), length=1.0))
    now = snapshot.take(total, window_s=5.0, widen=True).now
    assert now.spans == {"ttft": 60}
    assert 57 <= now.latency["ttft"].count <= 60
    early = Aggregate.over([1])
    for second in range(1, 9):
        early.merge(delta(0, second - 1, second, part(1, 10, (1000,), ok=1), length=1.0))
    now = snapshot.take(early, window_s=5.0, widen=True).now
    assert (now.spans, now.latency["ttft"].count) == ({"ttft": 8}, 8)


def test_the_recent_past_is_bounded_and_loses_nothing_within_its_bounds() -> None:
    total = Aggregate.over([1, 1])
    for quarter in range(1, 801):
        for worker in (0, 1):
            made = part(1, 10, (1000 + quarter,), ok=1)
            made.latency["loop_lag"] = histogram(quarter)
            # the second worker's reports come three seconds late
            at = quarter if worker == 0 else quarter - 12
            if at > 0:
                total.merge(delta(worker, at - 1, at / 4, made))
    assert len(total.recent) <= 42
    assert len(total.earlier) <= 22
    known = snapshot.history(total)
    begin, end = min(slot.t_from for slot in known), max(slot.t_to for slot in known)
    assert end == 200 * S
    assert 140 * S >= begin >= 137 * S
    quarters = {0: (end - begin) * 4 // S, 1: (197 * S - begin) * 4 // S}
    assert sum(slot.events for slot in known) == 10 * sum(quarters.values())
    assert sum(slot.latency["ttft"].count for slot in known) == sum(quarters.values())
    for worker, n in quarters.items():
        assert sum(slot.workers[worker].loop_lag.count for slot in known if worker in slot.workers) == n


def test_a_keyframe_goes_without_the_recent_past() -> None:
    view = RunView(FACTS, Aggregate.over([1]))
    sizes = []
    for quarter in range(1, 241):
        made = part(1, 10, tuple(range(1000, 1100)), ok=1)
        made.latency["connect"] = histogram(*range(10_000, 20_000, 10))
        view.aggregate.merge(delta(0, quarter - 1, quarter / 4, made))
        sizes.append(len(encode(view)))
    assert len(view.aggregate.earlier) == 20
    assert sizes[-1] < sizes[39] + 60 * 400, "a row of the timeline for each second"


def test_rows_keep_what_is_charted_in_coarse_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 8)
    total = Aggregate.over([1])
    values = {"itl": range(15_000, 25_000, 7), "tpot": range(18_000, 22_000, 9), "e2e": range(900_000, 1_100_000, 999)}
    for second in range(16):
        made = part(1, 10, (1000,), ok=1)
        made.latency |= {name: histogram(*found) for name, found in values.items()}
        total.merge(delta(0, second, second + 0.5, made))
    assert len(total.rows) == 8
    for name, found in values.items():
        exact = histogram(*found)
        for row in total.rows:
            assert row.more[name].count == 2 * exact.count
            assert len(row.more[name].counts) < len(exact.counts) / 4
            for percentile in ("p50", "p99"):
                right, coarse = exact.percentile(percentile), row.more[name].percentile(percentile)
                assert right is not None
                assert coarse is not None
                assert right <= coarse <= 1.009 * right


@pytest.mark.parametrize("length", [0.25, 1.5, 5.0])
def test_live_rates_do_not_depend_on_the_length_of_deltas(length: float) -> None:
    total = Aggregate.over([1])
    for number in range(1, 9):
        total.merge(delta(0, number - 1, number * length, part(0, int(400 * length)), length=length))
    assert snapshot.take(total, window_s=2.0).now.events_per_s == pytest.approx(400, rel=0.01)


def test_finish_reasons_stay_few() -> None:
    total = Aggregate.over([1])
    for number in range(100):
        total.merge(delta(0, number, part=Part(finish={f"reason {number}": 1})))
    finish = total.steady.finish
    assert len(finish) <= 31
    assert sum(finish.values()) == 100


def test_retries_add_up_by_class_and_are_no_ends() -> None:
    total = Aggregate.over([1, 1])
    total.merge(delta(0, 0, 1.0, Part(retried={"rate_limited": 2})))
    total.merge(delta(1, 0, 2.0, Part(retried={"rate_limited": 1, "http_503": 4}, ended={"ok": 1})))
    assert total.retried() == {"rate_limited": 3, "http_503": 4}
    assert total.ended() == {"ok": 1}
    assert total.last_seen == {"rate_limited": 2 * S, "http_503": 2 * S, "ok": 2 * S}
    assert snapshot.take(total).retries == 7


def test_of_rate_limits_the_latest_word_and_the_lowest_figure_are_kept_whoever_heard_them() -> None:
    total = Aggregate.over([1, 1])
    for worker, limits in (
        (0, {"requests": RateLimit(60, 50, 40, 5)}),
        (1, {"requests": RateLimit(70, 30, 45, 4), "tokens": RateLimit(None, 9, 9, 4)}),
        (0, {"requests": RateLimit(60, 49, 42, 6)}),
    ):
        made = delta(worker)
        made.rate_limits = limits
        total.merge(msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Delta))
    assert total.rate_limits == {"requests": RateLimit(60, 49, 40, 6), "tokens": RateLimit(None, 9, 9, 4)}
    assert snapshot.take(total).rate_limits == total.rate_limits


def test_the_first_failure_that_may_end_the_run_is_kept() -> None:
    total = Aggregate.over([1, 1])
    for worker, text in ((0, "first"), (1, "second")):
        made = delta(worker)
        made.fatal = {"end": ErrorSample("quota", 429, text, "")}
        total.merge(made)
    assert total.fatal["end"].text == "first"


def test_a_snapshot_of_nothing() -> None:
    picture = snapshot.take(Aggregate.over([1]))
    for figures in (picture.now, picture.whole):
        assert (figures.percentile("ttft", "p50"), figures.percentile("itl", "p99"), figures.failed) == (None, None, 0)
    assert (picture.now.events_per_s, picture.whole.events_per_s) == (0, None)
