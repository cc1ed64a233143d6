"""A run from the start barrier to the last acknowledgement.

Everything that happens (a message, a process that ends, a signal, a second gone by) is put into one queue, and one
loop takes it out: nothing is decided in a callback.
"""

import asyncio
import contextlib
import datetime
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from llmstress.coordinator import facts, preflight
from llmstress.coordinator.broadcaster import KEYFRAME_S, Broadcaster
from llmstress.coordinator.console import Console
from llmstress.coordinator.errors import CouldNotStart, ExitCode, LlmstressError, UsageError
from llmstress.coordinator.facts import API
from llmstress.coordinator.hub import Hub
from llmstress.coordinator.network import addresses_of, describe_way, network_of, with_sources
from llmstress.coordinator.options import Options, Target, parse_target, redact_url
from llmstress.coordinator.plans import build_headers, make_plans, secrets_in
from llmstress.coordinator.rundir import ABOUT, own_directory
from llmstress.coordinator.screen import Screen, ScreenClosed
from llmstress.coordinator.steering import Steering
from llmstress.coordinator.summary import Facts, Summary, encode, summarise, write_atomically
from llmstress.coordinator.supervisor import Crew, Exited
from llmstress.engine.api import APIS
from llmstress.engine.control import Ack, Final, FromWorker, Go, Hello, How, Network, Plan, Ready, Setup, Stop
from llmstress.engine.telemetry import broadcast, snapshot
from llmstress.engine.telemetry.aggregate import Aggregate, Notice
from llmstress.engine.telemetry.broadcast import Ended, Message, RunView, WorkerChange
from llmstress.engine.telemetry.messages import PROTOCOL_VERSION, Delta, Phase
from llmstress.tui.figures import duration
from llmstress.tui.source import DETACHED

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


Event = FromWorker | Exited | Lost | Signalled | Tick | ScreenClosed | broadcast.Command


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


async def execute(
    options: Options, url: str, console: Console, asked_at: float, *, screen: bool, deliver: Callable[[Result], None]
) -> Result:
    """Run `options` against `url`.

    Args:
        options: what to do.
        url: the target; the options' own or that of the built-in mock.
        console: hears of the banner, of every second, of warnings; what it says waits while there is a screen.
        asked_at: `time.monotonic()` when the command was given.
        screen: open one.
        deliver: is given the result as soon as it is final; a screen may stay open after that.

    Raises:
        UsageError, CouldNotStart: nothing was sent.
    """
    target = parse_target(url, APIS[API].PATH)
    headers = build_headers(options, target, dict(os.environ))
    network = network_of(options, target, os.environ)
    preflight.raise_descriptor_limit(max(options.shares))
    secret_variables = frozenset({"OPENAI_API_KEY", options.api_key_env or "OPENAI_API_KEY"})
    view = RunView(
        facts.run_facts(options, target, options.model or ""),
        Aggregate.over(options.shares, facts.row_ns(options.interval_s)),
    )
    record_to = Path(options.record) if options.record is not None else None
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(own_directory())
        streams = f"{options.procs} processes, {options.total_streams} streams"
        (directory / ABOUT).write_text(f"{redact_url(target.url)}  {streams}", "utf-8")
        hub = await stack.enter_async_context(Hub(directory))
        try:
            broadcaster = await stack.enter_async_context(Broadcaster(directory, view, record_to))
        except OSError as error:
            raise UsageError(f"--record {options.record}: {error.strerror}") from error
        crew = Crew(directory, hub.endpoint, secret_variables)
        run = _Run(options, target, network, hub, crew, broadcaster, console, asked_at)
        try:
            if screen:
                await run.open_screen(directory, secret_variables)
            if warning := preflight.warn_of_plain_http(target, headers):
                run.warn(warning)
            result = await run.conduct(headers)
            deliver(result)
            await run.wait_for_screen()
            return result
        finally:
            await run.close()
            await crew.leave(0)


class _Run:
    """The state of one run. A worker goes from starting over ready and running to done, or from any of them to lost."""

    def __init__(
        self,
        options: Options,
        target: Target,
        network: Network,
        hub: Hub,
        crew: Crew,
        broadcaster: Broadcaster,
        console: Console,
        asked_at: float,
    ) -> None:
        self._options = options
        self._target = target
        self._network = network
        self._hub = hub
        self._crew = crew
        self._broadcaster = broadcaster
        self._view = broadcaster.view
        self._aggregate = broadcaster.view.aggregate
        self._steering = Steering(hub, self._view, self._tell, self._notice)
        self._console = console
        self._asked_at = asked_at
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._finals: dict[int, Final] = {}
        self._heard_at = [time.monotonic()] * options.procs
        self._signals: list[int] = []
        self._ended_by = ""
        self._aborted_at = 0.0
        self._t0 = 0
        self._ticks = 0
        self._noted_phase = Phase.RAMP
        self._startup_s = 0.0
        self._screen: Screen | None = None
        self._detached = False

    async def open_screen(self, directory: Path, secret_variables: frozenset[str]) -> None:
        """Start the screen; the console keeps still while it is open."""
        self._console.hold()
        self._screen = await Screen.start(directory, secret_variables)
        self._tasks.append(asyncio.create_task(self._screen.watch(self._events.put_nowait)))

    async def conduct(self, headers: list[tuple[str, str]]) -> Result:
        """Start the workers, let them run, sum up."""
        loop = asyncio.get_running_loop()
        for number in self._signals_to_handle():
            loop.add_signal_handler(number, self._events.put_nowait, Signalled(number))
        await self._crew.start(self._options.procs, self._events.put_nowait)
        self._tasks += [loop.create_task(source) for source in (self._listen(), self._hear_commands(), self._tick())]
        model = await self._agree_on_model(headers)
        addresses = await loop.run_in_executor(None, addresses_of, self._network, self._target)
        networks = with_sources(self._network, addresses, self._options.shares)
        plans = make_plans(self._options, API, self._target, model, headers, networks)
        self._tell(facts.run_facts(self._options, self._target, model))
        try:
            async with asyncio.timeout(READY_S):
                await self._get_ready(plans)
        except TimeoutError:
            raise CouldNotStart(f"the workers were not ready within {READY_S:g} s") from None
        self._startup_s = time.monotonic() - self._asked_at
        started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._console.banner(self._options, self._target, model)
        if way := describe_way(networks):
            self._console.say(f"  {way}")
        await self._go()
        self._tell(msgspec.structs.replace(self._view.facts, started_at=started_at))
        self._note_phase(facts.first_phase(self._options))
        while any(worker.state == "running" for worker in self._aggregate.workers):
            await self._handle(await self._events.get())
        await self._crew.leave(LEAVE_S)
        steady_s, drain_s = self._lengths()
        self._tell(Ended(self._why_ended(), steady_s, drain_s))
        self._notice("end", f"the run has ended ({self._why_ended()})")
        self._warn_of_record(self._broadcaster.finish_record())
        summary = self._summarise()
        return Result(summary, self._aggregate, self._exit_code(summary))

    async def wait_for_screen(self) -> None:
        """The run is over, and its screen shows so until it is left; whoever sends a signal wants to see no more."""
        while self._screen is not None and not self._signals:
            match await self._events.get():
                case ScreenClosed() as closed:
                    self._screen_closed(closed)
                case Signalled():
                    return
                case broadcast.Save():
                    self._save()

    async def close(self) -> None:
        """Stop listening; signals do again what they do by default."""
        loop = asyncio.get_running_loop()
        for task in self._tasks:
            task.cancel()
        for number in self._signals_to_handle():
            loop.remove_signal_handler(number)
        if self._screen is not None:
            await self._screen.close()
        self._console.release()

    @staticmethod
    def _signals_to_handle() -> list[signal.Signals]:
        numbers = [signal.SIGINT, signal.SIGTERM]
        # under nohup a closed terminal is to be ignored
        return numbers if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [*numbers, signal.SIGHUP]

    # --- what others are told

    def warn(self, text: str) -> None:
        """Tell the console and every viewer."""
        self._console.warn(text)
        self._notice("warning", text)

    def _tell(self, message: Message) -> None:
        self._warn_of_record(self._broadcaster.publish(message, self._now()))

    def _warn_of_record(self, error: OSError | None) -> None:
        if error is not None:
            self.warn(f"--record: {error}; the record ends here")

    def _notice(self, kind: str, text: str, t: int | None = None) -> None:
        self._tell(Notice(self._now() if t is None else t, kind, text))

    def _note_phase(self, phase: Phase) -> None:
        self._noted_phase = phase
        text, begin = facts.phase_begins(self._options, phase)
        self._notice("phase", text, self._now() if begin is None else min(begin, self._now()))

    def _now(self) -> int:
        """Nanoseconds after T0."""
        return max(0, time.monotonic_ns() - self._t0) if self._t0 else 0

    # --- sources of events

    async def _listen(self) -> None:
        while True:
            self._events.put_nowait(await self._hub.receive())

    async def _hear_commands(self) -> None:
        while True:
            self._events.put_nowait(await self._broadcaster.next_command())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._events.put_nowait(Tick())

    # --- before T0

    async def _agree_on_model(self, headers: list[tuple[str, str]]) -> str:
        answer = preflight.Answer()
        if self._options.probe:
            answer = await preflight.ask_for_models(
                self._target, self._network, headers, secrets_in(headers, self._target, self._network.proxy)
            )
        model, warning = preflight.choose_model(self._options, answer)
        if warning:
            self.warn(warning)
        return model

    async def _get_ready(self, plans: list[Plan]) -> None:
        """The start barrier: every worker has its plan and could start this moment."""
        while any(worker.state == "starting" for worker in self._aggregate.workers):
            match await self._events.get():
                case Hello(worker=number, pid=pid, version=version):
                    if version != PROTOCOL_VERSION:
                        raise CouldNotStart(f"worker {number} speaks protocol {version}, this is {PROTOCOL_VERSION}")
                    self._tell(WorkerChange(number, pid=pid))
                    await self._hub.send(number, Setup(plans[number]))
                case Ready(worker=number, startup_s=cpu_s, rss=rss):
                    self._tell(WorkerChange(number, "ready", startup_cpu_s=cpu_s, rss=rss))
                case Exited(worker=number, reason=reason):
                    raise CouldNotStart(f"worker {number} died before it was ready: {reason}")
                case Signalled(number=number):
                    raise Interrupted(number)
                case broadcast.Drain() | broadcast.Abort():
                    raise Interrupted(signal.SIGINT)
                case broadcast.Pause() | broadcast.SetStreams() | broadcast.Save():
                    self._notice("note", "too early: the run has not begun")
                case ScreenClosed() as closed:
                    self._screen_closed(closed)

    async def _go(self) -> None:
        self._t0 = time.monotonic_ns() + int(HEAD_START_S * 1e9)
        for worker in self._aggregate.workers:
            self._tell(WorkerChange(worker.worker, "running"))
            self._heard_at[worker.worker] = time.monotonic()
            await self._hub.send(worker.worker, Go(self._t0))

    # --- from T0 on

    async def _handle(self, event: Event) -> None:
        match event:
            case Delta() | Final() if self._aggregate.workers[event.worker].state != "running":
                pass  # from a worker that was given up: its books are closed
            case Delta():
                self._heard_at[event.worker] = time.monotonic()
                self._tell(event)
                if self._aggregate.phase > self._noted_phase:
                    self._note_phase(self._aggregate.phase)
            case Final():
                self._finals[event.worker] = event
                self._tell(WorkerChange(event.worker, "done", deltas=event.deltas))
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
            case ScreenClosed():
                self._screen_closed(event)
            case broadcast.Drain() | broadcast.Abort() | broadcast.Pause() | broadcast.SetStreams() | broadcast.Save():
                await self._obey(event)

    def _lose(self, event: Exited) -> None:
        if self._aggregate.workers[event.worker].state == "running":
            self._tell(WorkerChange(event.worker, "lost", reason=event.reason))
            self.warn(f"worker {event.worker} was lost: {event.reason}; the others go on")

    def _screen_closed(self, closed: ScreenClosed) -> None:
        self._screen = None
        self._detached = closed.code == DETACHED
        self._console.release()
        if self._view.ended is None and signal.SIGHUP not in self._signals:
            how = "" if closed.code in (0, DETACHED) else f" unexpectedly (exit code {closed.code})"
            self.warn(f"the screen was closed{how}, the run goes on; `llmstress attach --control` opens it again")

    async def _handle_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGHUP:
            if self._screen is not None:
                self._screen.terminate()  # the kernel may have told the leader of the session alone
            if self._detached or self._signals:
                return  # whoever detaches may leave; and shell and kernel may both tell of one closed terminal
        self._signals.append(number)
        if len(self._signals) == 1:
            self._ended_by = self._ended_by or "signal"
            self.warn(f"{name}: draining for up to {self._options.grace_s:g} s; once more to end at once")
            await self._stop(How.DRAIN)
        else:
            self.warn(f"{name} again: ending at once")
            await self._abort()

    async def _obey(self, command: broadcast.Command) -> None:
        """A viewer has asked for something."""
        match command:
            case broadcast.Drain() if self._ended_by or self._aggregate.phase == Phase.DRAIN:
                pass  # it drains already
            case broadcast.Drain():
                self._ended_by = "signal"
                self._notice("note", f"asked to drain: open requests have {duration(self._options.grace_s)}")
                await self._stop(How.DRAIN)
            case broadcast.Abort():
                self._ended_by = "abort"
                self._notice("note", "asked to end at once")
                await self._abort()
            case broadcast.Save():
                self._save()
            case _ if self._ended_by or self._aggregate.phase == Phase.DRAIN:
                self._notice("note", "too late to change the load: the run drains")
            case broadcast.Pause(on=on):
                await self._steering.pause(on)
            case broadcast.SetStreams(total=total):
                await self._steering.set_streams(total)

    def _save(self) -> None:
        path = Path(f"llmstress-{datetime.datetime.now():%Y%m%d-%H%M%S}.json").resolve()
        try:
            write_atomically(path, encode(self._summarise()))
        except OSError as error:
            self._notice("warning", f"the summary could not be saved: {error}")
        else:
            self._notice("note", f"summary saved as {path}")

    async def _handle_tick(self) -> None:
        if self._screen is None:
            self._console.progress(snapshot.take(self._aggregate))
        self._ticks += 1
        if self._ticks % KEYFRAME_S == 0:
            self._warn_of_record(self._broadcaster.publish_keyframe())
        if not self._ended_by and self._too_many_errors():
            self._ended_by = "errors"
            self.warn("--max-errors is reached: draining")
            await self._stop(How.DRAIN)
        for worker in self._aggregate.workers:
            if worker.state != "running":
                continue
            if time.monotonic() - self._heard_at[worker.worker] > SILENCE_S:
                self.warn(f"worker {worker.worker} has been silent for {SILENCE_S:g} s: ending it")
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
        await self._steering.order_all(Stop(how))

    async def _abort(self) -> None:
        self._aborted_at = self._aborted_at or time.monotonic()
        await self._stop(How.ABORT)

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
        if self._ended_by == "abort":
            return ExitCode.SIGINT
        return ExitCode.OK if summary.requests.ok else ExitCode.NO_SUCCESS

    def _lengths(self) -> tuple[float, float]:
        """Steady window and drain in seconds, as the workers cut them."""
        finals = self._finals.values()
        steady_s = max((final.steady_ns for final in finals), default=0) / 1e9
        drain_s = max((final.drain_ns for final in finals), default=0) / 1e9
        return round(steady_s, 6), round(drain_s, 6)

    def _summarise(self) -> Summary:
        """The summary as it is now."""
        times = os.times()
        known = Facts(
            run=facts.run_info(self._options, self._target, self._view),
            ended_by=self._view.ended.by if self._view.ended is not None else "running",
            startup_s=self._startup_s,
            coordinator_cpu_s=times.user + times.system,
        )
        return summarise(self._aggregate, known)


def _exit_code_of(number: int) -> ExitCode:
    # a closed terminal ends a run like SIGTERM
    return ExitCode.SIGINT if number == signal.SIGINT else ExitCode.SIGTERM
