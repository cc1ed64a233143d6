"""How much load a run asks for at each moment: a level that is a piecewise linear function of time.

The level is a number of streams (closed model), requests or sessions per second (open model), or seconds of a trace per
second. Its integral up to a time is the *amount* by then: of a rate, the number of requests or sessions that were to
arrive.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from llmstress.engine.telemetry.shares import share

Unit = Literal["streams", "requests", "trace", "sessions"]
"""What a level is: streams, requests per second, seconds of the trace per second, sessions per second."""

RATES: frozenset[Unit] = frozenset({"requests", "sessions"})
"""The units of rates."""

SINE_LINES = 48
"""Straight lines that stand for one period of a sine wave: they differ from it by less than 0.3 % of its height."""


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """A stretch of time in which the level changes evenly."""

    begin: int
    """ns after T0."""
    end: int | None
    """Begin of the next piece; None: the level stays as it is until the run ends."""
    first: float
    """Level at the begin."""
    last: float
    """Level at the end; equal to `first` if there is no end."""

    def level_at(self, t: int) -> float:
        """The level at `t` ns after T0, which lies in this piece."""
        if self.end is None:
            return self.first
        return self.first + (self.last - self.first) * (t - self.begin) / (self.end - self.begin)

    def amount(self, until: int) -> float:
        """The integral of the level from the begin to `until`, in levels times seconds."""
        return (self.first + self.level_at(until)) / 2 * (until - self.begin) / 1e9

    def when(self, amount: float) -> int | None:
        """When the integral from the begin reaches `amount`, which is not more than that of the whole piece (ns after
        T0); None: the level is 0."""
        if amount <= 0 and (self.first > 0 or self.last > 0):
            return self.begin
        if self.end is None:
            return self.begin + round(amount / self.first * 1e9) if self.first > 0 else None
        slope = (self.last - self.first) / ((self.end - self.begin) / 1e9)
        # first·t + slope·t²/2 = amount, in the form without cancellation
        root = self.first**2 + 2 * slope * amount
        divisor = self.first + math.sqrt(max(0.0, root))
        if divisor <= 0:
            return None
        return min(self.end, self.begin + round(2 * amount / divisor * 1e9))


class Profile(msgspec.Struct, array_like=True, frozen=True):
    """The level over the whole run."""

    unit: Unit
    pieces: tuple[Piece, ...]
    """One after the other, from T0 on. After the last one the level is 0, unless that has no end."""

    def level_at(self, t: int) -> float:
        """The level at `t` ns after T0; where it jumps, the later one."""
        index = bisect_right(self.pieces, t, key=_begin) - 1
        if index < 0:
            return 0.0
        piece = self.pieces[index]
        return piece.level_at(t) if piece.end is None or t < piece.end else 0.0

    def amount(self, begin: int, end: int) -> float:
        """The integral of the level from `begin` to `end` (ns after T0), in levels times seconds."""
        total = 0.0
        for index in range(max(0, bisect_right(self.pieces, begin, key=_begin) - 1), len(self.pieces)):
            piece = self.pieces[index]
            if piece.begin >= end:
                break
            since, until = max(begin, piece.begin), end if piece.end is None else min(end, piece.end)
            if until > since:
                total += (piece.level_at(since) + piece.level_at(until)) / 2 * (until - since) / 1e9
        return total

    def mean(self, begin: int, end: int) -> float:
        """The mean level from `begin` to `end` (ns after T0)."""
        return self.amount(begin, end) / ((end - begin) / 1e9) if end > begin else self.level_at(begin)

    def joined(self, at: int, later: "Profile") -> "Profile":
        """This profile until `at` ns after T0, and `later` from then on."""
        return Profile(self.unit, (*_until(self.pieces, at), *_from(later.pieces, at)))

    def without(self, begin: int, end: int) -> "Profile":
        """This profile without the time from `begin` to `end`: what came after it comes earlier."""
        later = tuple(_moved(piece, begin - end) for piece in _from(self.pieces, end))
        return self.joined(begin, Profile(self.unit, later))

    def held(self, at: int, level: float, until: int | None = None) -> "Profile":
        """This profile with a constant level from `at` to `until`; None: to the end of the run."""
        held = Profile(self.unit, (Piece(at, until, level, level),))
        return self.joined(at, held if until is None else held.joined(until, self))


def constant(unit: Unit, level: float) -> Profile:
    """The same level throughout the run."""
    return Profile(unit, (Piece(0, None, level, level),))


def sine(begin: int, end: int, low: float, high: float, period_ns: int) -> tuple[Piece, ...]:
    """Pieces of a wave that begins at `low` and reaches `high` in the middle of each period."""
    count = max(1, math.ceil((end - begin) * SINE_LINES / period_ns))
    stamps = [begin + min(end - begin, index * period_ns // SINE_LINES) for index in range(count)] + [end]
    levels = [low + (high - low) * (1 - math.cos(2 * math.pi * (t - begin) / period_ns)) / 2 for t in stamps]
    return tuple(
        Piece(t, stamps[index + 1], levels[index], levels[index + 1])
        for index, t in enumerate(stamps[:-1])
        if stamps[index + 1] > t
    )


def stamps(profile: Profile, amounts: Iterator[float]) -> Iterator[int]:
    """When each of these amounts is reached (ns after T0).

    Args:
        profile: the level over time.
        amounts: integrals from T0 on, each at least as high as the one before.
    """
    before, places = 0.0, iter(profile.pieces)
    piece = next(places, None)
    for amount in amounts:
        while piece is not None:
            whole = math.inf if piece.end is None else piece.amount(piece.end)
            if amount - before < whole and (t := piece.when(amount - before)) is not None:
                yield t
                break
            if piece.end is None:
                return
            before += whole
            piece = next(places, None)
        else:
            return


def steps(profile: Profile, worker: int, workers: int) -> Iterator[tuple[int, int]]:
    """The changes of a worker's number of streams: (ns after T0, streams from then on).

    At a level of L there are ceil(L) streams in all, which are divided by `share`. Stream k of all (from 0) exists
    while the level is above k.
    """
    before = 0
    for piece in profile.pieces:
        now = _own(piece.first, worker, workers)
        if now != before:
            yield piece.begin, now
        if piece.end is not None and piece.first != piece.last:
            last = _own(piece.last, worker, workers)
            up = 1 if piece.last > piece.first else -1
            while (now < last) if up > 0 else (now > last):
                level = _least(now if up > 0 else now - 1, worker, workers)
                passed = (level - piece.first) / (piece.last - piece.first)
                now += up
                yield piece.begin + round(passed * (piece.end - piece.begin)), now
        before = now
    if profile.pieces and (end := profile.pieces[-1].end) is not None and before:
        yield end, 0


def _begin(piece: Piece) -> int:
    return piece.begin


def _moved(piece: Piece, by: int) -> Piece:
    end = None if piece.end is None else piece.end + by
    return Piece(piece.begin + by, end, piece.first, piece.last)


def _own(level: float, worker: int, workers: int) -> int:
    """How many of the streams 0 ... ceil(level) - 1 are a worker's."""
    return share(math.ceil(level), workers, worker)


def _least(own: int, worker: int, workers: int) -> int:
    """The level above which a worker has more than `own` streams."""
    return own * workers + worker


def _until(pieces: Sequence[Piece], at: int) -> Iterator[Piece]:
    for piece in pieces:
        if piece.begin < at:
            if piece.end is not None and piece.end <= at:
                yield piece
            else:
                yield Piece(piece.begin, at, piece.first, piece.level_at(at))


def _from(pieces: Sequence[Piece], at: int) -> Iterator[Piece]:
    for piece in pieces:
        if piece.begin >= at:
            yield piece
        elif piece.end is None or piece.end > at:
            yield Piece(at, piece.end, piece.level_at(at), piece.last)
