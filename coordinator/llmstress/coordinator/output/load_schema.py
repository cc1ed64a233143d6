"""The load in the summary (`schema`)."""

from typing import Literal

import msgspec

LevelUnit = Literal["streams", "requests", "trace", "sessions"]
"""What the level of a load is: streams, requests per second, seconds of the trace per second, or sessions per
second."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The load that was asked for, and what of it was achieved. In the closed model only `unit` and `started` have
    values: the answers decide when requests begin.

    `due`, `started`, `dropped` and `waiting_max` cover the whole run: `due` = `started` + `dropped` at the end, if no
    worker was lost. The rates, `achieved_share` and `slip_p99_ms` cover the steady windows."""

    model: Literal["closed", "open"]
    unit: LevelUnit
    started: int
    arrival: str | None = None
    """constant, poisson, gamma or trace."""
    burstiness: float | None = None
    """Shape of gamma arrivals."""
    asked_per_s: float | None = None
    """Mean of the rate that was asked for, in requests or, if `unit` says so, in sessions."""
    due: int | None = None
    """Requests that arrived. The later requests of a session arrive when their think time is over."""
    dropped: int | None = None
    """Requests that arrived and never started."""
    due_per_s: float | None = None
    """Requests that arrived per second: random arrivals differ from `asked_per_s` by chance."""
    achieved_per_s: float | None = None
    """Requests that started per second."""
    achieved_share: float | None = None
    """Started requests ÷ those that arrived. Above 1 if requests that had waited before started, too."""
    waiting_max: int | None = None
    """Most requests that waited for a stream at once."""
    slip_p99_ms: float | None = None
    """p99 of `queue`: how late requests started."""


class SkippedRow(msgspec.Struct, frozen=True):
    """A row of a trace that could not be used."""

    line: int
    """In the file, from 1."""
    why: str


class TraceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The trace that was replayed. `run.options` has its file."""

    format: str
    stamps: str
    """How the stamps were read: ms, s or dates."""
    rows: int
    """Rows that could be used."""
    used: int
    """Rows whose time came before the run ended: their requests were started, or dropped from the queue."""
    skipped: int
    """Bad rows that were left out."""
    skipped_rows: list[SkippedRow]
    """The first of them."""
    unsorted: int
    """Rows that were earlier than the row above them. If there are any, all rows were sorted."""
    span_s: float
    """From the first to the last row, at the trace's own speed."""
    speed: float
    """The trace was replayed so many times as fast."""
    lengths: list[str]
    """The lengths that the requests had from the trace: output, or none."""
