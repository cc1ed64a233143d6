"""A run from the start barrier to the last acknowledgement.

Everything that happens (a message, a process that ends, a signal, a second gone by) is put into one queue, and one
loop takes it out: nothing is decided in a callback.
"""

import asyncio
import datetime
import os
import signal
import tempfile
import time
from pathlib import Path

import msgspec

from llmstress.coordinator import preflight
from llmstress.coordinator.console import Console, program_version
from llmstress.coordinator.errors import CouldNotStart, ExitCode, LlmstressError
from llmstress.coordinator.hub import Hub
from llmstress.coordinator.options import Options, Target, describe, parse_target, redact_url
from llmstress.coordinator.plans import build_headers, make_plans, secrets_in
from llmstress.coordinator.summary import Facts, PhaseLengths, RunInfo, Summary, host, summarise
from llmstress.coordinator.supervisor import Crew, Exited
from llmstress.engine.api import APIS
from llmstress.engine.control import Ack, Final, FromWorker, Go, Hello, How, Plan, Ready, Setup, Stop
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import PROTOCOL_VERSION, Delta

API = "openai-chat"

READY_S = 60.0
"""How long workers may take to get ready: a loaded machine is slow, but not that slow."""

SILENCE_S = 30.0
"""A worker that sends nothing for this long (it should every interval) is hung: it is ended and counts as lost."""

LATE_S = 0.25
"""How long messages of a worker that has died are waited for."""

ABORT_S = 3.0
"""How long a worker may take to end after a second signal; then it is killed."""

LEAVE_S = 5.0
"""How long workers may take to leave after the last acknowledgement."""

HEAD_START_S = 0.05
"""T0 lies this far ahead when it is told, so that every worker hears of it before it comes."""

MIN_FINISHED_FOR_SHARE = 100
"""`--max-errors P%` needs this many finished requests before it can end a run: 1 of 1 is not 100 %."""


class Signalled(msgspec.Struct, frozen=True):
    """SIGINT or SIGTERM has come."""

    number: int


class Lost(msgspec.Struct, frozen=True):
    """A worker has ended, and what it had sent before has had its time to arrive."""

    exited: Exited


class Tick(msgspec.Struct, frozen=True):
    """A second has gone by."""


Event = FromWorker | Exited | Lost | Signalled | Tick


class Result(msgspec.Struct, frozen=True):
    """What a run leaves."""

    summary: Summary
    aggregate: Aggregate
    exit_code: ExitCode


class Interrupted(LlmstressError):
    """A signal came before the run began."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted before the run began: no request was sent")
        self.exit_code = _exit_code_of(number)


async def execute(options: Options, url: str, console: Console, asked_at: float) -> Result:
    """Run `options` against `url`.

    Args:
        options: what to do.
        url: the target; the options' own or that of the built-in mock.
        console: hears of the banner, of every second, of warnings.
        asked_at: `time.monotonic()` when the command was given.

    Raises:
        UsageError, CouldNotStart: nothing was sent.
    """
    target = parse_target(url, APIS[API].PATH)
    headers = build_headers(options, target, dict(os.environ))
    preflight.raise_descriptor_limit(options.streams)
    if warning := preflight.warn_of_plain_http(target, headers):
        console.warn(warning)
    secret_variables = frozenset({"OPENAI_API_KEY", options.api_key_env or "OPENAI_API_KEY"})
    with tempfile.TemporaryDirectory(prefix="llmstress-") as name:  # mode 0700
        async with Hub(Path(name)) as hub:
            crew = Crew(Path(name), hub.endpoint, secret_variables)
            run = _Run(options, target, hub, crew, console, asked_at)
            try:
                return await run.conduct(headers)
            finally:
                run.close()
                await crew.leave(0)


class _Run:
    """The state of one run. A worker goes from starting over ready and running to done, or from any of them to lost."""

    def __init__(
        self, options: Options, target: Target, hub: Hub, crew: Crew, console: Console, asked_at: float
    ) -> None:
        self._options = options
        self._target = target
        self._hub = hub
        self._crew = crew
        self._console = console
        self._asked_at = asked_at
        self._aggregate = Aggregate([options.streams] * options.procs, _row_ns(options.interval_s))
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._finals: dict[int, Final] = {}
        self._heard_at = [time.monotonic()] * options.procs
        self._signals: list[int] = []
        self._ended_by = ""
        self._aborted_at = 0.0

    async def conduct(self, headers: list[tuple[str, str]]) -> Result:
        """Start the workers, let them run, sum up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._events.put_nowait, Signalled(number))
        await self._crew.start(self._options.procs, self._events.put_nowait)
        self._tasks = [loop.create_task(self._listen()), loop.create_task(self._tick())]
        model = await self._agree_on_model(headers)
        plans = make_plans(self._options, API, self._target, model, headers)
        try:
            async with asyncio.timeout(READY_S):
                await self._get_ready(plans)
        except TimeoutError:
            raise CouldNotStart(f"the workers were not ready within {READY_S:g} s") from None
        startup_s = time.monotonic() - self._asked_at
        started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._console.banner(self._options, self._target, model)
        await self._go()
        while any(worker.state == "running" for worker in self._aggregate.workers):
            await self._handle(await self._events.get())
        await self._crew.leave(LEAVE_S)
        times = os.times()
        facts = Facts(
            run=self._info(model, started_at),
            ended_by=self._why_ended(),
            startup_s=startup_s,
            coordinator_cpu_s=times.user + times.system,
        )
        summary = summarise(self._aggregate, facts)
        return Result(summary, self._aggregate, self._exit_code(summary))

    def close(self) -> None:
        """Stop listening; signals do again what they do by default."""
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            task.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    # --- sources of events

    async def _listen(self) -> None:
        while True:
            self._events.put_nowait(await self._hub.receive())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._events.put_nowait(Tick())

    # --- before T0

    async def _agree_on_model(self, headers: list[tuple[str, str]]) -> str:
        answer = preflight.Answer()
        if self._options.probe:
            answer = await preflight.ask_for_models(self._target, headers, secrets_in(headers, self._target))
        model, warning = preflight.choose_model(self._options, answer)
        if warning:
            self._console.warn(warning)
        return model

    async def _get_ready(self, plans: list[Plan]) -> None:
        """The start barrier: every worker has its plan and could start this moment."""
        workers = self._aggregate.workers
        while any(worker.state == "starting" for worker in workers):
            match await self._events.get():
                case Hello(worker=number, pid=pid, version=version):
                    if version != PROTOCOL_VERSION:
                        raise CouldNotStart(f"worker {number} speaks protocol {version}, this is {PROTOCOL_VERSION}")
                    workers[number].pid = pid
                    await self._hub.send(number, Setup(plans[number]))
                case Ready(worker=number, startup_s=cpu_s, rss=rss):
                    workers[number].state = "ready"
                    workers[number].startup_cpu_s = cpu_s
                    workers[number].rss_peak = rss
                case Exited(worker=number, reason=reason):
                    raise CouldNotStart(f"worker {number} died before it was ready: {reason}")
                case Signalled(number=number):
                    raise Interrupted(number)

    async def _go(self) -> None:
        t0 = time.monotonic_ns() + int(HEAD_START_S * 1e9)
        for worker in self._aggregate.workers:
            worker.state = "running"
            self._heard_at[worker.worker] = time.monotonic()
            await self._hub.send(worker.worker, Go(t0))

    # --- from T0 on

    async def _handle(self, event: Event) -> None:
        match event:
            case Delta() | Final() if self._aggregate.workers[event.worker].state != "running":
                pass  # from a worker that was given up: its books are closed
            case Delta():
                self._heard_at[event.worker] = time.monotonic()
                self._aggregate.merge(event)
            case Final():
                self._finals[event.worker] = event
                worker = self._aggregate.workers[event.worker]
                worker.gaps += event.deltas - worker.deltas
                worker.state = "done"
                worker.open = 0
                await self._hub.send(event.worker, Ack())
            case Exited():
                # what it sent before it died may still be on the way
                asyncio.get_running_loop().call_later(LATE_S, self._events.put_nowait, Lost(event))
            case Lost():
                self._lose(event.exited)
            case Signalled():
                await self._handle_signal(event.number)
            case Tick():
                await self._handle_tick()

    def _lose(self, event: Exited) -> None:
        if self._aggregate.workers[event.worker].state == "running":
            self._aggregate.lose(event.worker, event.reason)
            self._console.warn(f"worker {event.worker} was lost: {event.reason}; the others go on")

    async def _handle_signal(self, number: int) -> None:
        self._signals.append(number)
        name = signal.Signals(number).name
        if len(self._signals) == 1:
            self._ended_by = "signal"
            self._console.warn(f"{name}: draining for up to {self._options.grace_s:g} s; once more to end at once")
            await self._stop(How.DRAIN)
        else:
            self._console.warn(f"{name} again: ending at once")
            self._aborted_at = self._aborted_at or time.monotonic()
            await self._stop(How.ABORT)

    async def _handle_tick(self) -> None:
        self._console.progress(snapshot.take(self._aggregate))
        if not self._ended_by and self._too_many_errors():
            self._ended_by = "errors"
            self._console.warn("--max-errors is reached: draining")
            await self._stop(How.DRAIN)
        for worker in self._aggregate.workers:
            if worker.state != "running":
                continue
            if time.monotonic() - self._heard_at[worker.worker] > SILENCE_S:
                self._console.warn(f"worker {worker.worker} has been silent for {SILENCE_S:g} s: ending it")
                self._crew.kill(worker.worker)
            elif self._aborted_at and time.monotonic() - self._aborted_at > ABORT_S:
                self._crew.kill(worker.worker)

    def _too_many_errors(self) -> bool:
        limit = self._options.max_errors
        if limit is None:
            return False
        failed, finished = self._aggregate.failed(), self._aggregate.finished()
        if limit.count is not None:
            return failed >= limit.count
        return limit.share is not None and finished >= MIN_FINISHED_FOR_SHARE and failed >= limit.share * finished

    async def _stop(self, how: How) -> None:
        for worker in self._aggregate.workers:
            if worker.state == "running":
                await self._hub.send(worker.worker, Stop(how))

    # --- the end

    def _why_ended(self) -> str:
        workers = self._aggregate.workers
        if all(worker.state == "lost" for worker in workers):
            return "lost"
        if self._ended_by:
            return self._ended_by
        exhausted = all(final.exhausted for final in self._finals.values())
        return "requests" if self._options.requests is not None and exhausted else "duration"

    def _exit_code(self, summary: Summary) -> ExitCode:
        if not summary.complete:
            return ExitCode.INCOMPLETE
        if self._signals:
            return _exit_code_of(self._signals[0])
        return ExitCode.OK if summary.requests.ok else ExitCode.NO_SUCCESS

    def _info(self, model: str, started_at: str) -> RunInfo:
        options = self._options
        finals = self._finals.values()
        steady_s = max((final.steady_ns for final in finals), default=0) / 1e9
        drain_s = max((final.drain_ns for final in finals), default=0) / 1e9
        return RunInfo(
            version=program_version(),
            api=API,
            url=redact_url(self._target.url),
            model=model,
            procs=options.procs,
            streams=options.streams,
            total_streams=options.total_streams,
            phases_s=PhaseLengths(
                ramp=0.0 if options.whole_run else options.ramp_up_s,
                warmup=options.warmup_s,
                steady=round(steady_s, 6),
                drain=round(drain_s, 6),
            ),
            started_at=started_at,
            seed=options.seed,
            options=describe(options),
            host=host(),
        )


def _row_ns(interval_s: float) -> int:
    """Step of the timeline: a second, or the next multiple of the interval."""
    interval_ns = int(interval_s * 1e9)
    return -(-1_000_000_000 // interval_ns) * interval_ns


def _exit_code_of(number: int) -> ExitCode:
    return ExitCode.SIGINT if number == signal.SIGINT else ExitCode.SIGTERM
