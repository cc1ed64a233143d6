"""When a new load has settled, so that what is measured from then on belongs to it. Pure functions."""

from typing import Literal

import msgspec

LEAST_S = 2.0
"""Least time after the last stream has started: connections and caches of a server that had nothing to do."""

QUIET_S = 30.0
"""If nothing at all comes for this long, there is nothing to wait for."""

LONGEST_S = 300.0
"""A load that has not settled after this time is measured as it is, and the summary says so."""


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the load. Times are seconds after T0."""

    at: float
    all_started: float
    """When the last stream has started: connections are opened at a limited pace."""
    in_flight: int
    """Requests in flight and those that wait, at the change."""
    ended: int
    """Requests that had ended by then."""
    streams: int | None
    """Streams from then on; None: open model."""


State = Literal["waits", "settled", "quiet", "too long"]


def state_of(change: Settling, *, t: float, in_flight: int, ended: int, e2e_s: float, quiet_s: float) -> State:
    """Whether the load has settled `t` seconds after T0.

    The requests of the old load must be over, and each stream must have answered once at the new load: before that the
    requests that end are the short ones. So as many requests must have ended since the change as were in flight then,
    and (closed model) as there are streams; surplus streams must have ended. And the time of a request must have
    passed.

    Args:
        change: the change.
        t: now.
        in_flight: requests in flight and those that wait, now.
        ended: requests that have ended, in the whole run.
        e2e_s: p90 of the duration of the requests that have ended since the change; 0: none has.
        quiet_s: for how long nothing has come.
    """
    since = t - change.all_started
    if since < LEAST_S:
        return "waits"
    if quiet_s >= QUIET_S and t - change.at >= QUIET_S:
        return "quiet"
    turn = max(change.in_flight, change.streams or 0)
    surplus = change.streams is not None and in_flight > change.streams
    if ended - change.ended >= turn and since >= e2e_s and not surplus:
        return "settled"
    return "too long" if t - change.at >= LONGEST_S else "waits"


def may_begin(*, in_flight: int, natural: float, waited_s: float, quiet_s: float) -> bool:
    """Whether requests may arrive at a new rate that is not higher than the one before.

    A rate above the capacity leaves a queue, at the target or here. At a rate just below the capacity it would hardly
    become shorter, and the new rate would be blamed for it. So nothing arrives until no more requests are in flight or
    wait than the new rate itself has in flight.

    Args:
        in_flight: requests in flight and those that wait, now.
        natural: the new rate times the time of a request at light load; 0: that is unknown.
        waited_s: for how long nothing has arrived.
        quiet_s: for how long nothing has come from the target.
    """
    return in_flight <= natural or waited_s >= LONGEST_S or min(waited_s, quiet_s) >= QUIET_S
