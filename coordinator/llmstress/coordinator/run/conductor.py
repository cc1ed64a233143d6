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

from llmstress.coordinator.config.errors import CouldNotStart, ExitCode, LlmstressError, UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import redact_url
from llmstress.coordinator.host import preflight
from llmstress.coordinator.host.machine import local_ports
from llmstress.coordinator.output.console import Console, size_of
from llmstress.coordinator.output.redaction import child_environment
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import Facts, summarise
from llmstress.coordinator.processes.broadcaster import KEYFRAME_S, Broadcaster
from llmstress.coordinator.processes.hub import Hub
from llmstress.coordinator.processes.run_directory import ABOUT, own_directory
from llmstress.coordinator.processes.screen_process import Screen, ScreenClosed
from llmstress.coordinator.processes.supervisor import Crew, Exited
from llmstress.coordinator.run import ending, facts
from llmstress.coordinator.run.announcer import Herald
from llmstress.coordinator.run.events import Event, Inbox, Lost, Signalled, Tick
from llmstress.coordinator.run.plans import make_plans, warning_of_ramp
from llmstress.coordinator.run.steering import Steering
from llmstress.coordinator.target import api_choice, list_models
from llmstress.coordinator.target.auth import key_variables
from llmstress.coordinator.target.network import describe_way, resolve, with_sources
from llmstress.coordinator.target.resolved import Approach, approach_of
from llmstress.engine import schedule
from llmstress.engine.control import Ack, Final, Go, Hello, How, Measure, Network, Plan, Ready, Setup, Stop
from llmstress.engine.secrets import blank_out
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import (
    AbortRequested,
    Command,
    DrainRequested,
    Ended,
    PauseRequested,
    RunView,
    SaveRequested,
    StreamsRequested,
    Windows,
    WorkerChange,
)
from llmstress.engine.telemetry.formatting import duration
from llmstress.engine.telemetry.messages import PROTOCOL_VERSION, Delta, Phase, Window
from llmstress.engine.telemetry.timeline import FINE_S
from llmstress.tui.sources.source import DETACHED

READY_S = 60.0
"""How long workers may take to get ready: a loaded machine is slow, but not that slow."""

SILENCE_S = 30.0
"""A worker that sends nothing for this long (it should every interval) is hung: it is ended and counts as lost."""

LATE_S = 0.25
"""How long messages of a worker that has died are waited for."""

ABORT_S = 3.0
"""How long a worker may take to end after a second signal; then it is killed."""

MIN_WINDOW_S = 2.0
"""How far the figures of a progress line look back at least; with fewer lines as far as the line before, but no
further than `FINE_S`."""

LEAVE_S = 5.0
"""How long workers may take to leave after the last acknowledgement."""

HEAD_START_S = 0.05
"""T0 lies this far ahead when it is told, so that every worker hears of it before it comes."""


class Result(msgspec.Struct, frozen=True):
    """What a run leaves."""

    summary: Summary
    aggregate: Aggregate
    exit_code: ExitCode


class Interrupted(LlmstressError):
    """A signal came before the run began."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted before the run started: no request was sent")
        self.exit_code = ending.exit_code_of(number)


async def execute(
    options: Options,
    url: str,
    console: Console,
    asked_at: float,
    *,
    screen: bool,
    deliver: Callable[[Result], Path | None],
) -> Result:
    """Run `options` against `url`.

    Args:
        options: what to do.
        url: the target; the options' own or that of the built-in mock.
        console: hears of the banner, of every second, of warnings; what it says waits while there is a screen.
        asked_at: `time.monotonic()` when the command was given.
        screen: open one.
        deliver: is given the result as soon as it is final, and gives the path at which the summary is now, if it
            was written; a screen may stay open after that.

    Raises:
        UsageError, CouldNotStart: nothing was sent.
    """
    approach = approach_of(options, url, os.environ)
    target, network, secrets = approach.target, approach.network, approach.secrets
    console.hide(secrets)
    try:
        addresses = await resolve(network, target)
        networks = with_sources(network, addresses, options.shares, local_ports())
        warnings = preflight.check_machine(options, target, networks, addresses)
        if warning := warning_of_ramp(options):
            warnings.append(warning)
        if options.unix_socket is None and (warning := list_models.warning_of_plain_http(target, approach.headers)):
            warnings.append(warning)
        environ = child_environment(os.environ, secrets, key_variables(options))
        async with contextlib.AsyncExitStack() as stack:
            directory = stack.enter_context(own_directory())
            (directory / ABOUT).write_text(f"{redact_url(target.url)}  {size_of(options)}", "utf-8")
            hub = await stack.enter_async_context(Hub(directory, options.procs))
            view = RunView(
                facts.run_facts(options, approach.name, target, options.model or ""),
                Aggregate.over(options.shares, facts.row_ns(options.interval_s), facts.windows_of(options)),
            )
            try:
                record_to = Path(options.record) if options.record is not None else None
                broadcaster = await stack.enter_async_context(Broadcaster(directory, view, record_to))
            except OSError as error:
                raise UsageError(f"--record {options.record}: {error.strerror or error}") from error
            herald = Herald(broadcaster, console, secrets)
            crew = Crew(directory, hub.endpoint, environ)
            run = _Run(options, approach, hub, crew, broadcaster, herald, asked_at)
            try:
                if screen:
                    await run.open_screen(directory, environ)
                for warning in warnings:
                    herald.warn(warning)
                result = await run.conduct(networks)
                if (path := deliver(result)) is not None:
                    herald.show(f"summary: {path}")
                await run.wait_for_screen()
                return result
            finally:
                await crew.leave(0)
                await run.close()
    except LlmstressError as error:
        error.args = (blank_out(str(error), secrets),)
        raise


class _Run:
    """The state of one run. A worker goes from starting over ready and running to done, or from any of them to lost."""

    def __init__(
        self,
        options: Options,
        approach: Approach,
        hub: Hub,
        crew: Crew,
        broadcaster: Broadcaster,
        herald: Herald,
        asked_at: float,
    ) -> None:
        self._options = options
        self._approach = approach
        self._hub = hub
        self._crew = crew
        self._broadcaster = broadcaster
        self._view = broadcaster.view
        self._aggregate = broadcaster.view.aggregate
        self._herald = herald
        self._steering = Steering(hub, self._view, herald.tell, herald.notice)
        self._asked_at = asked_at
        self._inbox = Inbox()
        self._finals: dict[int, Final] = {}
        self._heard_at = [time.monotonic()] * options.procs
        self._signals: list[int] = []
        self._ended_by = ""
        self._aborted_at = 0.0
        self._ticks = 0
        self._noted_window = 0
        self._startup_s = 0.0
        self._screen: Screen | None = None
        self._screen_watch: asyncio.Task[None] | None = None
        self._detached = False

    async def open_screen(self, directory: Path, environ: dict[str, str]) -> None:
        """Start the screen; the console keeps still while it is open."""
        self._herald.console.hold()
        self._screen = await Screen.start(directory, environ)
        self._screen_watch = asyncio.create_task(self._screen.watch(self._inbox.put))

    async def conduct(self, networks: list[Network]) -> Result:
        """Start the workers, let them run, sum up."""
        name, target = self._approach.name, self._approach.target
        self._inbox.open(self._hub, self._broadcaster)
        await self._crew.start(self._options.procs, self._inbox.put)
        model = await self._agree_on_model(networks[0])
        ask = api_choice.ask_of(self._options, target.url, model)
        plans = make_plans(self._options, self._approach, ask, networks)
        self._herald.tell(facts.run_facts(self._options, name, target, model))
        try:
            async with asyncio.timeout(READY_S):
                await self._get_ready(plans)
        except TimeoutError:
            raise CouldNotStart(f"the workers were not ready within {READY_S:g} s") from None
        self._startup_s = time.monotonic() - self._asked_at
        started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._herald.console.banner(self._options, name, target, model, describe_way(networks))
        await self._go()
        self._herald.tell(msgspec.structs.replace(self._view.facts, started_at=started_at))
        self._note_window(schedule.first_window(self._aggregate.windows))
        while any(worker.state == "running" for worker in self._aggregate.workers):
            await self._handle(await self._inbox.get())
        await self._crew.leave(LEAVE_S)
        self._hear_children(last=True)
        finals = self._finals.values()
        ended_by = ending.why_ended(self._options, self._aggregate, self._ended_by, finals)
        self._herald.tell(Ended(ended_by, *ending.lengths(finals)))
        self._herald.notice("end", f"the run has ended ({ended_by})")
        self._herald.finish()
        summary = self._summarise()
        return Result(summary, self._aggregate, ending.exit_code(self._options, summary, self._signals))

    async def wait_for_screen(self) -> None:
        """The run is over, and its screen shows so until it is left; whoever sends a signal wants to see no more."""
        while self._screen is not None and not self._signals:
            match await self._inbox.get():
                case ScreenClosed() as closed:
                    self._screen_closed(closed)
                case Signalled():
                    return
                case SaveRequested():
                    self._herald.save(self._summarise)

    async def close(self) -> None:
        """Stop listening, and say what is left to say. The workers are gone."""
        self._inbox.close()
        if self._screen_watch is not None:
            self._screen_watch.cancel()
        if self._screen is not None:
            await self._screen.close()
        self._hear_children(last=True)
        self._herald.console.release()

    def _note_window(self, window: Window) -> None:
        self._noted_window = window.index
        text, begin = facts.window_begins(self._options, window)
        now = self._herald.now()
        self._herald.notice("phase", text, now if begin is None else min(begin, now))

    def _hear_children(self, *, last: bool = False) -> None:
        """What workers and screen have written since."""
        for who, line in self._crew.news(last=last):
            self._herald.console.hear(who, line)

    # --- before T0

    async def _agree_on_model(self, network: Network) -> str:
        if self._options.model is None and not self._approach.api.NEEDS_MODEL:
            return ""
        answer = list_models.Answer()
        if self._options.probe and self._approach.target.models_url:
            answer = await list_models.ask_for_models(self._approach, network)
        model, warning = list_models.choose_model(self._options, answer)
        if warning:
            self._herald.warn(warning)
        return model

    async def _get_ready(self, plans: list[Plan]) -> None:
        """The start barrier: every worker has its plan and could start this moment."""
        while any(worker.state == "starting" for worker in self._aggregate.workers):
            match await self._inbox.get():
                case Hello(worker=number, pid=pid, version=version):
                    if version != PROTOCOL_VERSION:
                        raise CouldNotStart(f"worker {number} speaks protocol {version}, this is {PROTOCOL_VERSION}")
                    self._herald.tell(WorkerChange(number, pid=pid))
                    await self._hub.send(number, Setup(plans[number]))
                case Ready(worker=number, startup_s=cpu_s, rss=rss):
                    self._herald.tell(WorkerChange(number, "ready", startup_cpu_s=cpu_s, rss=rss))
                case Exited(worker=number, reason=reason):
                    raise CouldNotStart(f"worker {number} died before it was ready: {reason}")
                case Tick():
                    self._hear_children()
                case Signalled(number=number):
                    raise Interrupted(number)
                case DrainRequested() | AbortRequested():
                    raise Interrupted(signal.SIGINT)
                case PauseRequested() | StreamsRequested() | SaveRequested():
                    self._herald.notice("note", "too early: the run has not started")
                case ScreenClosed() as closed:
                    self._screen_closed(closed)

    async def _go(self) -> None:
        self._herald.t0 = time.monotonic_ns() + int(HEAD_START_S * 1e9)
        for worker in self._aggregate.workers:
            self._herald.tell(WorkerChange(worker.worker, "running"))
            self._heard_at[worker.worker] = time.monotonic()
            await self._hub.send(worker.worker, Go(self._herald.t0))

    # --- from T0 on

    async def _handle(self, event: Event) -> None:
        match event:
            case Delta() | Final() if self._aggregate.workers[event.worker].state != "running":
                pass  # from a worker that was given up: its books are closed
            case Delta():
                self._heard_at[event.worker] = time.monotonic()
                self._herald.tell(event)
                if self._aggregate.window > self._noted_window:
                    self._note_window(self._aggregate.windows[self._aggregate.window])
                await self._look_at_limits()
                await self._look_at_warmup()
            case Final():
                self._finals[event.worker] = event
                self._herald.tell(WorkerChange(event.worker, "done", deltas=event.deltas))
                await self._hub.send(event.worker, Ack())
            case Exited():
                # what it sent before it died may still be on the way
                self._inbox.put_later(LATE_S, Lost(event))
            case Lost():
                self._lose(event.exited)
            case Signalled():
                await self._handle_signal(event.number)
            case Tick():
                await self._handle_tick()
            case ScreenClosed():
                self._screen_closed(event)
            case DrainRequested() | AbortRequested() | PauseRequested() | StreamsRequested() | SaveRequested():
                await self._obey(event)

    def _lose(self, event: Exited) -> None:
        if self._aggregate.workers[event.worker].state == "running":
            self._herald.tell(WorkerChange(event.worker, "lost", reason=event.reason))
            self._herald.warn(f"worker {event.worker} was lost: {event.reason}; the others continue")

    def _screen_closed(self, closed: ScreenClosed) -> None:
        self._screen = None
        self._detached = closed.code == DETACHED
        self._herald.console.release()
        if self._view.ended is None and signal.SIGHUP not in self._signals:
            how = "" if closed.code in (0, DETACHED) else f" unexpectedly (exit code {closed.code})"
            self._herald.warn(
                f"the screen was closed{how}; the run continues; `llmstress attach --control` opens it again"
            )

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
            self._herald.warn(f"{name}: {self._finishing()}; a second signal ends the run at once")
            await self._stop(How.DRAIN)
        else:
            self._herald.warn(f"{name} again: ending at once")
            await self._abort()

    async def _obey(self, command: Command) -> None:
        """A viewer has asked for something."""
        match command:
            case DrainRequested() if self._ended_by or self._aggregate.phase == Phase.DRAIN:
                pass  # it drains already
            case DrainRequested():
                self._ended_by = "signal"
                self._herald.notice("note", f"ended by you: {self._finishing()}")
                await self._stop(How.DRAIN)
            case AbortRequested():
                self._ended_by = "abort"
                self._herald.notice("note", "ended by you, at once")
                await self._abort()
            case SaveRequested():
                self._herald.save(self._summarise)
            case _ if self._ended_by or self._aggregate.phase == Phase.DRAIN:
                self._herald.notice("note", "too late to change the load: the run is ending")
            case PauseRequested(on=on):
                await self._steering.pause(on)
            case StreamsRequested(total=total):
                await self._steering.set_streams(total)

    async def _look_at_limits(self) -> None:
        drains = self._ended_by or self._aggregate.phase == Phase.DRAIN
        url, api = redact_url(self._approach.target.url), self._approach.name
        limit = None if drains else ending.limit_reached(self._options, self._aggregate, url, api)
        if limit is not None:
            self._ended_by = limit.ended_by
            self._herald.warn(f"{limit.text}; {self._finishing()}")
            await self._stop(How.DRAIN)

    async def _look_at_warmup(self) -> None:
        """End a warm-up that is counted in requests, at the same stamp for all workers."""
        told = self._view.facts
        if told.warmup_requests is None or self._ended_by or self._aggregate.finished() < told.warmup_requests:
            return
        at = max(self._herald.t0 + int(told.ramp_s * 1e9), time.monotonic_ns() + int(HEAD_START_S * 1e9))
        warmup_s = (at - self._herald.t0) / 1e9 - told.ramp_s
        self._herald.tell(msgspec.structs.replace(told, warmup_s=warmup_s, warmup_requests=None))
        steady_ns = facts.steady_ns(self._options)
        self._herald.tell(Windows(schedule.steady_from(self._aggregate.windows, at - self._herald.t0, steady_ns)))
        await self._steering.order_all(Measure(at))

    async def _handle_tick(self) -> None:
        self._hear_children()
        self._ticks += 1
        if self._ticks % int(self._options.progress_s) == 0:
            window_s = min(max(MIN_WINDOW_S, self._options.progress_s), float(FINE_S))
            self._herald.console.progress(snapshot.take(self._aggregate, window_s=window_s))
        if self._ticks % KEYFRAME_S == 0:
            self._herald.tell_all()
        for worker in self._aggregate.workers:
            if worker.state != "running":
                continue
            if time.monotonic() - self._heard_at[worker.worker] > SILENCE_S:
                self._herald.warn(f"worker {worker.worker} has not reported for {SILENCE_S:g} s and is being stopped")
                self._crew.kill(worker.worker)
            elif self._aborted_at and time.monotonic() - self._aborted_at > ABORT_S:
                self._crew.kill(worker.worker)

    def _finishing(self) -> str:
        return f"finishing open requests (up to {duration(self._options.grace_s)})"

    async def _stop(self, how: How) -> None:
        await self._steering.order_all(Stop(how))

    async def _abort(self) -> None:
        self._aborted_at = self._aborted_at or time.monotonic()
        await self._stop(How.ABORT)

    def _summarise(self) -> Summary:
        """The summary as it is now."""
        times = os.times()
        known = Facts(
            run=facts.run_info(self._options, self._approach.target, self._view),
            ended_by=self._view.ended.by if self._view.ended is not None else "running",
            startup_s=self._startup_s,
            coordinator_cpu_s=times.user + times.system,
        )
        return summarise(self._aggregate, known)
