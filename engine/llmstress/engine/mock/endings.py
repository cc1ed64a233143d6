"""How an answer runs off: to its end, or as its fault has it."""

import enum
from typing import Literal, NamedTuple

from llmstress.engine.mock.faults import Fault

ENDLESS = 1 << 62
"""A number of events that is never reached."""


class Termination(enum.Enum):
    """What happens after the last write."""

    COMPLETE = enum.auto()
    """The body is complete, and the connection goes on as agreed."""
    CLOSE = enum.auto()
    """The connection is closed, whatever the body still lacks."""
    RESET = enum.auto()
    """The connection is reset."""
    HANG = enum.auto()
    """Nothing at all: it is the client who has to go."""


class AnswerPlan(NamedTuple):
    """What comes of an answer."""

    events: int
    """Token events that are sent."""
    last: Literal["closing", "error", "nothing"] = "closing"
    """What is said behind them."""
    termination: Termination = Termination.COMPLETE
    separate: bool = False
    """Whether `last` and `end` come a gap behind the last token event, and not with it."""
    malformed_at: int = -1
    """Number of the event before which a broken one comes; -1 for none."""
    keepalives: bool = False
    """Whether something that means nothing is said before each token event."""


def plan_for(fault: Fault | None, at: float, events: int) -> AnswerPlan:
    """The course of an answer of `events` token events whose fault strikes when a share `at` of them is out.

    At least one event is, and all but one at most, if there are two. Faults that change only what is said, and those
    that let no answer begin, have the course of none.
    """
    struck = min(events, 1 + int(at * (events - 1)))
    match fault:
        case Fault.STALL_FIRST_TOKEN:
            return AnswerPlan(0, "nothing", Termination.HANG)
        case Fault.STALL_MID_STREAM:
            return AnswerPlan(struck, "nothing", Termination.HANG)
        case Fault.ERROR_EVENT:
            return AnswerPlan(struck, "error", separate=True)
        case Fault.MALFORMED_JSON:
            return AnswerPlan(events, malformed_at=min(struck, events - 1))
        case Fault.CUT | Fault.CUT_CLOSE_DELIMITED:
            return AnswerPlan(struck, "nothing", Termination.CLOSE, separate=True)
        case Fault.RESET_MID_STREAM:
            return AnswerPlan(struck, "nothing", Termination.RESET, separate=True)
        case Fault.NO_FINISH:
            return AnswerPlan(events, "nothing")
        case Fault.NEVER_ENDS if events:
            return AnswerPlan(ENDLESS)
        case Fault.KEEPALIVE_EVENTS:
            return AnswerPlan(events, keepalives=True)
        case _:
            return AnswerPlan(events)
