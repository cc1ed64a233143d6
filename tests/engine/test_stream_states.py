"""The states of a stream: the table of what may follow what."""

import pytest

from llmstress.engine.stream import states
from llmstress.engine.stream.states import FREE, IN_FLIGHT, MOVES, OVER, PARKED, RELEASED, WAITING, move


class Something:
    state = FREE


def test_the_page_s_table_has_every_state() -> None:
    listed = {line.strip().split("  ")[0].lower().replace("_", " ") for line in str(states.__doc__).splitlines()}
    assert set(MOVES) <= listed
    assert {after for follow in MOVES.values() for after in follow} <= set(MOVES)


def test_every_state_can_be_reached() -> None:
    seen, new = set(), {FREE}
    while new:
        seen |= new
        new = {after for state in new for after in MOVES[state]} - seen
    assert seen == set(MOVES)
    assert not MOVES[OVER]


@pytest.mark.parametrize(("before", "after"), [(PARKED, IN_FLIGHT), (IN_FLIGHT, IN_FLIGHT), (RELEASED, WAITING)])
def test_a_move_that_is_not_in_the_table_is_a_fault(before: str, after: str) -> None:
    stream = Something()
    stream.state = before
    with pytest.raises(AssertionError, match="can't become"):
        move(stream, after)
