"""Shares, ramps, phases and slices: exact in integers."""

import pytest
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.load.slices import next_slice
from llmstress.engine.schedule import (
    after_failure,
    connect_gap_ns,
    first_window,
    ramp_start,
    steady_from,
    windows,
)
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.telemetry.shares import share

S = 1_000_000_000


@examples(200)
@given(total=st.integers(0, 10**12), parts=st.integers(1, 300))
def test_shares_sum_to_the_total_and_differ_by_one_at_most(total: int, parts: int) -> None:
    shares = [share(total, parts, index) for index in range(parts)]
    assert sum(shares) == total
    assert min(shares) >= 0
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("total", "parts", "shares"),
    [
        pytest.param(10, 1, [10], id="one part has it all"),
        pytest.param(10, 3, [4, 3, 3], id="the first parts have what is left over"),
        pytest.param(2, 4, [1, 1, 0, 0], id="a share may be nothing"),
        pytest.param(0, 2, [0, 0], id="nothing is divided into nothing"),
    ],
)
def test_shares(total: int, parts: int, shares: list[int]) -> None:
    assert [share(total, parts, index) for index in range(parts)] == shares


@examples(100)
@given(total=st.integers(0, 300), parts=st.integers(1, 40))
def test_numbers_that_parts_give_in_turns_have_no_gap(total: int, parts: int) -> None:
    given = [range(index, index + share(total, parts, index) * parts, parts) for index in range(parts)]
    assert sorted(number for each in given for number in each) == list(range(total))


@examples(200)
@given(streams=st.integers(1, 100), workers=st.integers(1, 5), ramp_ns=st.integers(0, 3600 * S))
def test_streams_start_evenly_within_the_ramp(streams: int, workers: int, ramp_ns: int) -> None:
    starts = [
        ramp_start(stream, streams, worker, workers, ramp_ns) for stream in range(streams) for worker in range(workers)
    ]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] < ramp_ns or ramp_ns == 0 == starts[-1]
    steps = [later - earlier for earlier, later in zip(starts, [*starts[1:], ramp_ns], strict=True)]
    assert max(steps) - min(steps) <= 1


@pytest.mark.parametrize(
    ("procs", "tls", "per_s"),
    [
        pytest.param(1, False, 2000, id="one process does what it can"),
        pytest.param(2, False, 2000, id="so do two"),
        pytest.param(16, False, 375, id="many share what a server can accept"),
        pytest.param(4, True, 400, id="TLS costs the client more"),
    ],
)
def test_connections_are_paced(procs: int, tls: bool, per_s: float) -> None:
    assert connect_gap_ns(procs, tls=tls) == pytest.approx(1e9 / per_s, rel=1e-3)


@pytest.mark.parametrize(
    ("lengths", "whole_run", "begins"),
    [
        pytest.param((0, 0, 60), False, (0, 0, 60), id="without ramp and warm-up the window begins at once"),
        pytest.param((10, 5, 60), False, (10, 15, 75), id="the windows follow each other"),
        pytest.param((10, 0, 60), False, (10, 10, 70), id="an empty warm-up has no length"),
        pytest.param((10, 5, None), False, (10, 15, None), id="a window without an end"),
        pytest.param((10, 0, None), True, (0, 0, None), id="a run counted in requests is steady from the start"),
        pytest.param((10, 0, 60), True, (0, 0, 70), id="and may have an end"),
        pytest.param((10, None, 60), False, (10, None, None), id="a warm-up that ends when told"),
    ],
)
def test_windows(lengths: tuple[int, int | None, int | None], whole_run: bool, begins: tuple[int | None, ...]) -> None:
    ramp, warmup, steady = lengths
    made = windows(ramp_ns=ramp, warmup_ns=warmup, steady_ns=steady, whole_run=whole_run)
    assert [window.kind for window in made] == list(Phase)
    assert [window.index for window in made] == [0, 1, 2, 3]
    assert [window.begin for window in made] == [0, *begins]
    assert [window.end for window in made] == [*begins, None]


@pytest.mark.parametrize(
    ("lengths", "whole_run", "kind"),
    [
        pytest.param((10, 5), False, Phase.RAMP, id="the ramp"),
        pytest.param((0, 5), False, Phase.WARMUP, id="no ramp"),
        pytest.param((0, None), False, Phase.WARMUP, id="no ramp, and an open warm-up"),
        pytest.param((0, 0), False, Phase.STEADY, id="neither ramp nor warm-up"),
        pytest.param((10, 0), True, Phase.STEADY, id="the steady window contains the ramp"),
    ],
)
def test_a_run_begins_with_the_first_window_of_any_length(
    lengths: tuple[int, int | None], whole_run: bool, kind: Phase
) -> None:
    ramp, warmup = lengths
    assert first_window(windows(ramp_ns=ramp, warmup_ns=warmup, whole_run=whole_run)).kind is kind


@pytest.mark.parametrize(("steady_ns", "drain"), [(60, 80), (None, None)])
def test_an_open_warm_up_ends(steady_ns: int | None, drain: int | None) -> None:
    planned = windows(ramp_ns=10, warmup_ns=None, steady_ns=60)
    assert [window.begin for window in planned] == [0, 10, None, None]
    known = steady_from(planned, 20, steady_ns)
    assert [window.begin for window in known] == [0, 10, 20, drain]
    assert [window.end for window in known] == [10, 20, drain, None]


@examples(100)
@given(pause_ns=st.integers(0, 3600 * S), uniform=st.floats(0, 1, exclude_max=True))
def test_a_pause_after_a_failure_is_half_to_one_and_a_half_of_it(pause_ns: int, uniform: float) -> None:
    assert pause_ns // 2 <= after_failure(pause_ns, uniform) <= pause_ns * 3 // 2


def test_streams_that_failed_together_do_not_come_back_together() -> None:
    pauses = [after_failure(S, step / 10) for step in range(10)]
    assert pauses == [S * (10 + 2 * step) // 20 for step in range(10)]


MS = 1_000_000


@pytest.mark.parametrize(
    ("reads", "size", "most", "lasting_ms"),
    [
        pytest.param(0, 0, 256, 1, id="nothing waits"),
        pytest.param(16_384, 250, 256, 1, id="as many as end together"),
        pytest.param(18_384, 250, 1_256, 2, id="more than that"),
        pytest.param(16_384, 65_535, 256, 1, id="answers in one piece"),
        pytest.param(8, 65_536, 256, 1, id="few large reads"),
        pytest.param(160, 256_000, 632_064, 632, id="all that five streams are flooded with in a turn of the loop"),
    ],
)
def test_slices_grow_with_what_waits(reads: int, size: int, most: int, lasting_ms: int) -> None:
    given, lasting_ns = next_slice(reads, size)
    assert (given, lasting_ns // MS) == (most, lasting_ms)
