"""Which task each request of a worker is of."""

import itertools
from collections import Counter

import pytest
from helpers.bench import Bench
from hypothesis import example, given
from hypothesis import strategies as st

from llmstress.engine.load.mix import Mix, Next


def taken(weights: list[int], n: int, worker: int = 0, workers: int = 1) -> list[tuple[int, int]]:
    """Task and number of the first n requests of a worker."""
    tasks = [Bench().task for _ in weights]
    mix = Mix(tasks, weights, worker, workers)
    return [(mix.entries.index(task), number) for task, number in (mix.take() for _ in range(n))]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(1, 400))
@example([1, 1, 1, 11, 85, 78, 46, 1, 1, 1], 226)
def test_after_any_number_of_requests_each_task_has_its_share_to_within_one(weights: list[int], n: int) -> None:
    counts = [0] * len(weights)
    for place, (task, number) in enumerate(taken(weights, n), 1):
        assert number == counts[task]
        counts[task] += 1
        assert all(
            abs(count - place * weight / sum(weights)) < 1 for count, weight in zip(counts, weights, strict=True)
        )


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(2, 5))
def test_each_worker_has_the_whole_order_from_another_place_on(weights: list[int], workers: int) -> None:
    period = sum(weights)
    order = [task for task, _ in taken(weights, 2 * period)]
    assert order[period:] == order[:period]
    for worker in range(workers):
        begin = period * worker // workers
        assert [task for task, _ in taken(weights, period, worker, workers)] == order[begin : begin + period]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_requests_of_all_workers_are_the_same_however_many_there_are(workers: int) -> None:
    weights = [5, 3, 2]
    together = Counter(
        itertools.chain.from_iterable(taken(weights, 1000 // workers, worker, workers) for worker in range(workers))
    )
    assert together == Counter((task, number) for task, n in enumerate((500, 300, 200)) for number in range(n))


@given(st.lists(st.booleans(), min_size=30, max_size=60))
def test_what_is_given_back_is_taken_again_first_and_no_number_is_left_out(withdrawn: list[bool]) -> None:
    tasks = [Bench().task for _ in range(3)]
    mix = Mix(tasks, [3, 2, 1], 1, 2)
    begun: list[Next] = []
    for gives_back in withdrawn:
        some = [mix.take() for _ in range(3)]
        for each in some[1:] if gives_back else ():
            mix.give_back(each)
        begun += some[:1] if gives_back else some
    plain = Mix(tasks, [3, 2, 1], 1, 2)
    assert begun == [plain.take() for _ in begun]


def test_the_requests_of_a_task_are_spread() -> None:
    assert [task for task, _ in taken([5, 1, 1], 7)] == [0, 0, 0, 1, 0, 0, 2]


def test_workers_begin_at_different_places() -> None:
    assert [taken([1, 1], 1, worker, 2)[0][0] for worker in range(2)] == [0, 1]


def test_the_shares_of_an_origin_are_those_of_its_tasks() -> None:
    one, other = Bench().task, Bench().task
    again = Bench().task
    again.dials = one.dials
    assert Mix([one, other, again], [1, 2, 5], 0, 1).origins == {one.dials: 0.75, other.dials: 0.25}
