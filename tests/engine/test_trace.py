"""The columns of a trace: what is written is what workers read, sorted, each row with its own values."""

from itertools import chain
from pathlib import Path

import pytest
from helpers.examples import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from llmstress.engine.arrivals import trace_arrivals
from llmstress.engine.telemetry.load_profile import constant, stamps
from llmstress.engine.trace import UNKNOWN, Arrival, Trace, write_columns

LENGTHS = st.integers(UNKNOWN, 10**9)
ARRIVALS = st.lists(
    st.builds(
        Arrival,
        st.integers(0, 9 * 10**18),
        LENGTHS,
        LENGTHS,
        st.lists(st.integers(0, (1 << 64) - 1), max_size=4).map(tuple),
    ),
    max_size=20,
)


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ARRIVALS)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, arrivals: list[Arrival]) -> None:
    directory = tmp_path_factory.mktemp("trace") / "columns"
    columns = write_columns(arrivals, directory)
    trace = Trace(directory)
    expected = sorted(arrivals, key=lambda arrival: arrival.at_ns)
    first = expected[0].at_ns if expected else 0
    read = [(trace.at(row), *trace.shape(row), trace.hash_ids(row)) for row in range(len(trace))]
    assert read == [(each.at_ns - first, *each[1:]) for each in expected]
    assert columns.rows == len(trace) == len(arrivals)
    assert columns.span_ns == (read[-1][0] if read else 0)
    assert columns.hash_ids == sum(len(each.hash_ids) for each in arrivals)
    assert columns.without_input == sum(each.input_tokens == UNKNOWN for each in arrivals)
    assert columns.without_output == sum(each.output_tokens == UNKNOWN for each in arrivals)
    assert columns.empty_output == sum(each.output_tokens == 0 for each in arrivals)


def test_rows_that_are_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    arrivals = [Arrival(at, row, row, (row, row)) for row, at in enumerate((30, 10, 20, 20, 5))]
    columns = write_columns(arrivals, tmp_path / "columns")
    trace = Trace(tmp_path / "columns")
    assert columns.unsorted == 2
    assert [trace.at(row) for row in range(5)] == [0, 5, 15, 15, 25]
    assert [trace.shape(row)[0] for row in range(5)] == [4, 1, 2, 3, 0], "equal stamps keep their order"
    assert [trace.hash_ids(row) for row in range(5)] == [(4, 4), (1, 1), (2, 2), (3, 3), (0, 0)]


def test_equal_stamps_are_in_order(tmp_path: Path) -> None:
    assert write_columns([Arrival(7), Arrival(7), Arrival(8)], tmp_path / "columns").unsorted == 0


S = 10**9


def trace_of(directory: Path, *seconds: int) -> Trace:
    """A trace whose rows arrive so many seconds after the epoch."""
    write_columns((Arrival(at * S) for at in seconds), directory / "columns")
    return Trace(directory / "columns")


def test_the_shares_of_the_workers_are_the_whole_trace(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, *(at * at for at in range(11)))
    shares = [list(trace_arrivals(trace, worker, 3).amounts) for worker in range(3)]
    assert shares[1] == [1, 16, 49, 100]
    assert sorted(chain(*shares)) == [at * at for at in range(11)]


def test_how_many_rows_are_to_be_expected(tmp_path: Path) -> None:
    between = trace_arrivals(trace_of(tmp_path, 7, 8, 8, 8, 9, 20), 0, 2).between
    assert [between(*span) for span in ((0, 1), (0, 1.5), (1, 2), (2, 13), (2, 13.1), (14, 99))] == [1, 4, 3, 1, 2, 0]


@pytest.mark.parametrize(("speed", "first"), [(1, 1_000_000_006), (2, 500_000_003), (0.001, 1_000_000_006_000)])
def test_arrivals_at_a_speed_are_exact_to_the_ns(tmp_path: Path, speed: float, first: int) -> None:
    day = 86_400 * S
    write_columns(map(Arrival, (5, 1_000_000_011, day + 6, 300 * day + 7)), tmp_path / "columns")
    arrivals = trace_arrivals(Trace(tmp_path / "columns"), 0, 1)
    due = list(stamps(constant("trace", speed), arrivals.amounts))
    assert due[:2] == [0, first]
    assert due[2] == pytest.approx((day + 1) / speed, rel=0, abs=10 / speed)
    assert due[3] == pytest.approx((300 * day + 2) / speed, rel=0, abs=10 / speed)
