"""Plans how an answer ends: completely, or as its fault demands."""

import enum
from typing import Literal, NamedTuple

from llmstress.engine.mock.faults import Fault

ENDLESS = 1 << 62
"""A number of token events that is never reached."""


class Termination(enum.Enum):
    """What happens to the body and the connection after the last write."""

    COMPLETE = enum.auto()
    """The body is complete. The connection is kept or closed as negotiated."""
    CLOSE = enum.auto()
    """The connection is closed, even if the body is incomplete."""
    RESET = enum.auto()
    """The connection is reset."""
    HANG = enum.auto()
    """Nothing happens; the client has to close the connection."""


class AnswerPlan(NamedTuple):
    """How many token events an answer has, and what follows them."""

    events: int
    """Token events that are sent."""
    last: Literal["closing", "error", "nothing"] = "closing"
    """What follows the token events: the API's closing events, an error, or nothing."""
    termination: Termination = Termination.COMPLETE
    separate: bool = False
    """Whether `last` and `termination` follow one gap after the last token event instead of together with it."""
    malformed_at: int = -1
    """Number of the token event that is preceded by a malformed one; -1 for none."""
    keepalives: bool = False
    """Whether a ping precedes each token event."""


def plan_for(fault: Fault | None, position: float, events: int) -> AnswerPlan:
    """The plan of an answer of `events` token events. The fault takes effect after a share `position` of them.

    At least one event is sent before the fault, and, of two events or more, not all. Faults that change only the
    content, and faults that replace the answer, give the plan of an answer without fault.
    """
    sent = min(events, 1 + int(position * (events - 1)))
    match fault:
        case Fault.STALL_FIRST_TOKEN:
            return AnswerPlan(0, "nothing", Termination.HANG)
        case Fault.STALL_MID_STREAM:
            return AnswerPlan(sent, "nothing", Termination.HANG)
        case Fault.ERROR_EVENT:
            return AnswerPlan(sent, "error", separate=True)
        case Fault.MALFORMED_JSON:
            return AnswerPlan(events, malformed_at=min(sent, events - 1))
        case Fault.CUT | Fault.CUT_CLOSE_DELIMITED:
            return AnswerPlan(sent, "nothing", Termination.CLOSE, separate=True)
        case Fault.RESET_MID_STREAM:
            return AnswerPlan(sent, "nothing", Termination.RESET, separate=True)
        case Fault.NO_FINISH:
            return AnswerPlan(events, "nothing")
        case Fault.NEVER_ENDS if events:
            return AnswerPlan(ENDLESS)
        case Fault.KEEPALIVE_EVENTS:
            return AnswerPlan(events, keepalives=True)
        case _:
            return AnswerPlan(events)
