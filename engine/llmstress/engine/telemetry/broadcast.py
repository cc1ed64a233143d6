"""What the coordinator publishes about a run, what a viewer may ask of it, and the one state that both make of it.

The coordinator applies every message to its own `RunView` and publishes it; a viewer begins with a whole `RunView` (a
keyframe) and applies what follows: the same code on both sides, so that both have the same figures. Messages are
numbered by whoever carries them; after a missing one a viewer waits for the next keyframe.
"""

from typing import assert_never

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.messages import Delta, Phase

DETACHED = 10
"""Exit code of a screen that the user left while the run goes on."""


class RunFacts(msgspec.Struct, array_like=True, frozen=True, tag=True, kw_only=True):
    """What is known of a run before it starts. Lengths in seconds."""

    version: str
    api: str
    url: str
    """Without secrets."""
    model: str
    """Empty until it is agreed on."""
    procs: int
    streams: int
    """Per process, as asked for; the most of one if they differ."""
    total_streams: int
    ramp_s: float
    warmup_s: float
    steady_s: float | None
    """None: until the requests are used up."""
    interval_s: float
    """How often workers report."""
    grace_s: float
    requests: int | None
    whole_run: bool
    """The steady window is the whole run."""
    started_at: str
    """ISO 8601, UTC; empty before T0."""
    warmup_requests: int | None = None
    """The warm-up lasts until so many requests have ended; None: as long as `warmup_s` says, and that is known when
    such a warm-up is over."""


class WorkerChange(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A worker is in another state, or has another number of streams; None: as before."""

    worker: int
    state: str | None = None
    """ready, running, done or lost."""
    pid: int | None = None
    startup_cpu_s: float | None = None
    rss: int | None = None
    streams: int | None = None
    reason: str = ""
    """Why it was lost."""
    deltas: int | None = None
    """How many it has sent, once it is done."""


class Paused(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Workers begin no new requests while this is on."""

    on: bool


class Ended(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The run is over."""

    by: str
    """As in the summary's `ended_by`."""
    steady_s: float
    """Length of the steady window as the workers cut it."""
    drain_s: float


Message = RunFacts | Delta | WorkerChange | Notice | Paused | Ended


class Drain(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Start nothing new, let finish what is open."""


class Abort(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """End at once."""


class Pause(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Start no new requests while on."""

    on: bool


class SetStreams(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Have this many streams open from now on, over all workers."""

    total: int


class Save(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Write the summary as it would be now."""


Command = Drain | Abort | Pause | SetStreams | Save


class RunView(msgspec.Struct, array_like=True, tag=True):
    """Everything a viewer knows of a run; as a message: a keyframe."""

    facts: RunFacts
    aggregate: Aggregate
    paused: bool = False
    ended: Ended | None = None

    def apply(self, message: Message) -> None:
        """Take in one message."""
        match message:
            case Delta():
                self.aggregate.merge(message)
            case WorkerChange():
                self._change(message)
            case Notice():
                self.aggregate.note(message)
            case Paused():
                self.paused = message.on
            case Ended():
                self.ended = message
            case RunFacts():
                self.facts = message
            case _:
                assert_never(message)

    @property
    def steady_begin_s(self) -> float:
        """When the steady window begins, in seconds after T0."""
        return 0.0 if self.facts.whole_run else self.facts.ramp_s + self.warmup_s

    @property
    def warmup_s(self) -> float:
        """Length of the warm-up; as long as nobody knows its end, what has passed of it."""
        if self.facts.warmup_requests is None:
            return self.facts.warmup_s
        return max(0.0, self.aggregate.elapsed_ns / 1e9 - self.facts.ramp_s)

    @property
    def measured(self) -> int:
        """Requests that have come to an end of their own since the steady window began."""
        return sum(
            n
            for phase in (Phase.STEADY, Phase.DRAIN)
            for outcome, n in self.aggregate.phases[phase].ended.items()
            if outcome != "cancelled"
        )

    @property
    def steady_s(self) -> float:
        """How long the steady window has lasted so far; exact once the run has ended."""
        if self.ended is not None:
            return self.ended.steady_s
        drain = self.aggregate.phase_began.get(int(Phase.DRAIN))
        until_s = (self.aggregate.elapsed_ns if drain is None else drain) / 1e9
        lasted = max(0.0, until_s - self.steady_begin_s)
        return lasted if self.facts.steady_s is None else min(lasted, self.facts.steady_s)

    def _change(self, change: WorkerChange) -> None:
        worker = self.aggregate.workers[change.worker]
        if change.state == "lost":
            self.aggregate.lose(change.worker, change.reason)
        elif change.state is not None:
            worker.state = change.state
        if change.state == "done":
            worker.open = 0
        if change.pid is not None:
            worker.pid = change.pid
        if change.startup_cpu_s is not None:
            worker.startup_cpu_s = change.startup_cpu_s
        if change.rss is not None:
            worker.rss = worker.rss_peak = change.rss
        if change.streams is not None:
            worker.streams = change.streams
        if change.deltas is not None:
            worker.gaps += change.deltas - worker.deltas


Frame = RunView | Message

_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(Frame)
_commands = msgspec.msgpack.Decoder(Command)


def encode(message: Frame | Command) -> bytes:
    """One message as bytes. A keyframe goes without the recent past, which refills within seconds."""
    if isinstance(message, RunView):
        light = msgspec.structs.replace(message.aggregate, recent=[], earlier=[])
        message = msgspec.structs.replace(message, aggregate=light)
    return _encoder.encode(message)


def decode(data: bytes) -> Frame:
    """The message in `data`.

    Raises:
        msgspec.DecodeError, RecursionError: it is none.
    """
    frame: Frame = _frames.decode(data)
    return frame


def decode_command(data: bytes) -> Command:
    """The command in `data`.

    Raises:
        msgspec.DecodeError, RecursionError: it is none.
    """
    command: Command = _commands.decode(data)
    return command
