"""The messages that the coordinator publishes about a run, the commands that viewers send, and the state of a run.

The coordinator applies every message to its own `RunView` and publishes it. A viewer begins with a whole `RunView` (a
keyframe) and applies the messages after it. Both run the same code, so both have the same figures. The transport
numbers the messages; after a missing one a viewer asks for another keyframe.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.cost import NO_PRICES, Pricing
from llmstress.engine.telemetry.load_profile import Profile
from llmstress.engine.telemetry.messages import Delta, Phase, Window
from llmstress.engine.telemetry.slo import NOT_JUDGED, Objectives
from llmstress.engine.telemetry.thresholds import Judgement

DETACHED = 10
"""Exit code of a screen that the user left while the run goes on."""


class TaskFacts(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What is known of a task of a mix before the run starts."""

    name: str
    weight: int
    """Its share of the requests is this, divided by the sum of the weights of all tasks."""
    api: str
    url: str
    """Without secrets."""
    model: str
    """Empty until it is known."""
    slos: tuple[str, ...] = ()
    """Texts of the SLOs of its requests."""
    group: str = ""
    """What the tasks of one list of models have in common; empty: it is of no list."""


class StepFacts(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What has a task number, and so statistics, of its own: a step of the sessions of a task, or a task without
    sessions."""

    task: str = ""
    """Name of the task; empty: there is no mix."""
    step: str = ""
    """Name of the step, such as `turn 1`; empty: requests of this task are no part of a session."""
    conversation: bool = False
    """The step is a turn of conversations."""
    flow: bool = False
    """The step is one of a flow."""
    script: bool = False
    """The task is Python: while the run goes on, its code names its steps."""

    @property
    def path(self) -> str:
        """Its name in thresholds, which needs no quotes in a shell: `rag/search`, `chat/turn-8`; without a mix
        `turn-8`."""
        return "/".join(filter(None, (self.task, self.short)))

    @property
    def short(self) -> str:
        """The same without the task."""
        return self.step.replace(" ", "-")


def numbers_named(steps: Sequence[StepFacts], name: str) -> frozenset[int]:
    """The task numbers of the parts that `name` stands for: those of a task, or that of a step of it. The step of the
    only task may stand without its task. `steps`: by task number."""
    found = [number for number, each in enumerate(steps) if each.task == name]
    found = found or [number for number, each in enumerate(steps) if each.path == name]
    if not found and len({each.task for each in steps}) == 1:
        found = [number for number, each in enumerate(steps) if each.short == name]
    return frozenset(found)


class RunFacts(msgspec.Struct, array_like=True, frozen=True, tag=True, kw_only=True):
    """What is known of a run before it starts. Lengths in seconds."""

    version: str
    api: str
    url: str
    """Without secrets."""
    model: str
    """Empty until it is known."""
    procs: int
    streams: int
    """Per process, as asked for; the highest number if they differ."""
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
    """The warm-up lasts until this number of requests has ended. None: it lasts `warmup_s`; also when such a warm-up is
    over and its length is known."""
    arrival: str = ""
    """How requests arrive in the open model: constant, poisson or gamma. Empty: closed model."""
    objectives: Objectives = NOT_JUDGED
    """What requests are judged by."""
    points: int = 0
    """Planned points of a sweep; 0: no sweep, or a search, which decides its points while it goes on."""
    tasks: tuple[TaskFacts, ...] = ()
    """The tasks of a mix. Empty: all requests are of one kind."""
    steps: tuple[StepFacts, ...] = ()
    """What the task numbers of parts stand for, if a task has sessions. Empty: they are the positions in `tasks`."""
    pricing: Pricing = NO_PRICES
    """What the requests cost, by task."""

    def numbers_of(self, name: str) -> frozenset[int]:
        """The task numbers of the parts that belong to the task of this name, or to the step of one (`rag/search`)."""
        return numbers_named(self.steps or [StepFacts(task=each.name) for each in self.tasks], name)


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


class Windows(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The windows of the run have other limits than planned, or limits that were open."""

    windows: tuple[Window, ...]


class Asked(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The load over time that the run asks for is this one from now on."""

    profile: Profile


class Paused(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Workers begin no new requests while this is on."""

    on: bool


class Judgements(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The thresholds of the run, as they are judged now."""

    judgements: tuple[Judgement, ...]


class Ended(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The run is over."""

    by: str
    """As in the summary's `ended_by`."""
    steady_s: float
    """Length of the steady windows as the workers cut them."""
    drain_s: float


Message = RunFacts | Delta | WorkerChange | Notice | Windows | Asked | Paused | Ended | Judgements


class DrainRequested(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Start nothing new, let open requests finish."""


class AbortRequested(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """End at once."""


class PauseRequested(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Start no new requests while on."""

    on: bool


class RateRequested(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Open model: from now on this many requests per second arrive, until the next stage begins."""

    per_s: float


class StageRequested(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """End the stage that lasts, and begin the next one."""


class StreamsRequested(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Run this many streams from now on, over all workers."""

    total: int


class SaveRequested(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Write the summary as it would be now."""


Command = (
    DrainRequested | AbortRequested | PauseRequested | StreamsRequested | RateRequested | StageRequested | SaveRequested
)


class RunView(msgspec.Struct, array_like=True, tag=True):
    """Everything a viewer knows about a run. As a message it is a keyframe."""

    facts: RunFacts
    aggregate: Aggregate
    paused: bool = False
    ended: Ended | None = None
    profile: Profile | None = None
    """The load over time. None: closed model, with a number of streams that does not change by itself."""
    judgements: tuple[Judgement, ...] = ()
    """Those of the thresholds, in the order in which they were given."""

    def apply(self, message: Message) -> None:
        """Take in one message."""
        match message:
            case Delta():
                self.aggregate.merge(message)
            case WorkerChange():
                self._change(message)
            case Notice():
                self.aggregate.note(message)
            case Windows():
                self.aggregate.set_windows(message.windows)
            case Asked():
                self.profile = message.profile
            case Paused():
                self.paused = message.on
            case Ended():
                self.ended = message
            case RunFacts():
                self.facts = message
            case Judgements():
                self.judgements = message.judgements
            case _:
                assert_never(message)

    @property
    def warmup_s(self) -> float:
        """Length of the warm-up; while its end is open, its length so far."""
        if self.facts.warmup_requests is None:
            return self.facts.warmup_s
        return max(0.0, self.aggregate.elapsed_ns / 1e9 - self.facts.ramp_s)

    @property
    def steady_s(self) -> float:
        """How long the steady windows have lasted so far; exact once the run has ended."""
        if self.ended is not None:
            return self.ended.steady_s
        aggregate = self.aggregate
        drain = aggregate.began(Phase.DRAIN)
        until = aggregate.elapsed_ns if drain is None else drain
        return sum(lasted_ns(window, until) for window in aggregate.windows if window.kind is Phase.STEADY) / 1e9

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


def lasted_ns(window: Window, until: int) -> int:
    """How long a window had lasted `until` ns after T0; one whose begin is open has not begun."""
    if window.begin is None:
        return 0
    return max(0, (until if window.end is None else min(until, window.end)) - window.begin)


Frame = RunView | Message

_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(Frame)
_commands = msgspec.msgpack.Decoder(Command)


def encode(message: Frame | Command) -> bytes:
    """One message as bytes. A keyframe is sent without the recent past, which refills within seconds."""
    if isinstance(message, RunView):
        light = msgspec.structs.replace(message.aggregate, recent=[], earlier=[])
        message = msgspec.structs.replace(message, aggregate=light)
    return _encoder.encode(message)


def decode(data: bytes) -> Frame:
    """The message in `data`.

    Raises:
        msgspec.DecodeError, RecursionError: `data` is no message.
    """
    frame: Frame = _frames.decode(data)
    return frame


def decode_command(data: bytes) -> Command:
    """The command in `data`.

    Raises:
        msgspec.DecodeError, RecursionError: `data` is no command.
    """
    command: Command = _commands.decode(data)
    return command
