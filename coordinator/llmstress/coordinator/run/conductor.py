"""Drives one run from the start barrier to the last acknowledgement.

Every input (a message, a process that ends, a signal, a tick of the clock) goes into one queue, and one loop reads it:
no callback decides anything.
"""

import asyncio
import datetime
import os
import secrets
import signal
import time
from pathlib import Path

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart, ExitCode, LlmstressError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import redact_url
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import Facts, summarise
from llmstress.coordinator.processes.broadcaster import FLUSH_S, Broadcaster
from llmstress.coordinator.processes.hub import Hub
from llmstress.coordinator.processes.screen_process import Screen, ScreenClosed
from llmstress.coordinator.processes.worker_processes import Exited, WorkerProcesses
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED, Prepared
from llmstress.coordinator.run import ending, facts, replay
from llmstress.coordinator.run.announcer import Announcer
from llmstress.coordinator.run.course_driver import driver_of
from llmstress.coordinator.run.gate import Gate
from llmstress.coordinator.run.inbox import Inbox, InboxItem, Lost, Signalled, Tick
from llmstress.coordinator.run.naming import Names
from llmstress.coordinator.run.plans import make_plans
from llmstress.coordinator.run.pricing import check_pricing
from llmstress.coordinator.run.prompt_files import describe_prompts
from llmstress.coordinator.run.run_tasks import RunTask, choose_models
from llmstress.coordinator.run.steering import Steering
from llmstress.coordinator.run.token_steering import TokenRate
from llmstress.coordinator.run.words_per_token import Corrections
from llmstress.coordinator.target.network import describe_way
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine import schedule
from llmstress.engine.control import Ack, Final, Go, Hello, Plan, Ready, Replay, Setup, Stop, StopMode
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import (
    DETACHED,
    AbortRequested,
    Asked,
    Command,
    DrainRequested,
    Ended,
    PauseRequested,
    RateRequested,
    SaveRequested,
    StageRequested,
    StreamsRequested,
    WorkerChange,
)
from llmstress.engine.telemetry.by_task import task_figures
from llmstress.engine.telemetry.formatting import duration
from llmstress.engine.telemetry.messages import PROTOCOL_VERSION, Delta, Phase, Window
from llmstress.engine.telemetry.timeline import FINE_S
from llmstress.engine.telemetry.windows import asked_lately, steady_windows

READY_LIMIT_S = 60.0
"""Time limit for all workers to become ready. A loaded machine is slow, but not that slow."""

SILENCE_LIMIT_S = 30.0
"""A worker that sends no report for this long is hung (it should send one every `--interval`): it is killed and counts
as lost."""

LATE_MESSAGES_S = 0.25
"""After a worker has exited, its last messages are accepted for this long."""

ABORT_LIMIT_S = 3.0
"""Time limit for a worker to end after an abort (a second signal); then it is killed."""

MIN_PROGRESS_WINDOW_S = 2.0
"""The figures of a progress line cover at least this long. With a longer `--progress` they cover the time since the
previous line, but at most `FINE_S`."""

EXIT_LIMIT_S = 5.0
"""Time limit for the workers to exit after the last acknowledgement."""

HEAD_START_S, OPEN_HEAD_START_S = 0.05, 0.5
"""T0 lies this far in the future when it is announced, so that every worker knows it before it comes; and in the open
model, so that connections are open for the first requests."""


class Result(msgspec.Struct, frozen=True):
    """The result of a run."""

    summary: Summary
    aggregate: Aggregate
    exit_code: ExitCode
    run_code: ExitCode
    """What the exit code would be without thresholds."""


class Interrupted(LlmstressError):
    """A signal arrived before T0."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted before the run started: no request was sent")
        self.exit_code = ending.exit_code_of(number)


class Conductor:
    """One run. The state of a worker goes from starting to ready, running and done, or from any of them to lost."""

    def __init__(
        self,
        options: Options,
        tasks: list[RunTask],
        hub: Hub,
        workers: WorkerProcesses,
        broadcaster: Broadcaster,
        announcer: Announcer,
        asked_at: float,
        trace: TraceFacts | None = None,
        prepared: Prepared = NOTHING_PREPARED,
    ) -> None:
        self._options = options
        self._prepared = prepared
        self._trace = trace
        self._replay: Replay | None = None
        self._tasks = tasks
        self._names = Names()
        self._resolved = tasks[0].resolved
        self._hub = hub
        self._workers = workers
        self._broadcaster = broadcaster
        self._view = broadcaster.view
        self._aggregate = broadcaster.view.aggregate
        self._announcer = announcer
        self._steering = Steering(hub, self._view, announcer.publish, announcer.notice)
        self._token_rate = TokenRate(options, self._view, self._steering, announcer.notice)
        self._words = Corrections(self._aggregate, self._steering.order_all, announcer.notice)
        self._course = driver_of(options, self._resolved, self._view, self._steering, announcer.notice)
        self._gate = Gate(options.thresholds, self._view, announcer)
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
        """Start the screen; the console holds its output back while it is open."""
        self._announcer.console.hold()
        self._screen = await Screen.start(directory, environ)
        self._screen_watch = asyncio.create_task(self._screen.watch(self._inbox.put))

    async def conduct(self) -> Result:
        """Start the workers, drive the run to its end, and return the summary.

        Raises:
            CouldNotStart: the workers did not become ready.
            Interrupted: a signal arrived before T0.
        """
        self._inbox.open(self._hub, self._broadcaster)
        await self._workers.start(self._options.procs, self._inbox.put)
        tasks = self._tasks = await choose_models(self._tasks, self._announcer.warn)
        profile = self._token_rate.begin(tasks, self._prepared)
        windows = self._aggregate.windows
        salt = secrets.randbits(64)  # another one in each run, so that no cache has its prompts
        self._replay = replay.replay_of(tasks, self._trace, salt, self._prepared)
        plans = make_plans(self._options, tasks, windows, profile, self._replay, salt, self._prepared)
        self._words.begin(plans[0].tasks)
        self._announcer.publish(facts.run_facts(self._options, tasks, self._trace, self._prepared))
        check_pricing(self._options, self._view.facts.pricing)
        if profile is not None:
            self._announcer.publish(Asked(profile))
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await self._get_ready(plans)
        except TimeoutError:
            raise CouldNotStart(f"the workers were not ready within {READY_LIMIT_S:g} s") from None
        self._startup_s = time.monotonic() - self._asked_at
        started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        replayed = replay.describe_replay(self._options, self._trace, self._replay)
        self._announcer.console.banner(self._options, self._view.facts, self._notes_of_targets(), replayed)
        await self._go()
        self._announcer.publish(msgspec.structs.replace(self._view.facts, started_at=started_at))
        self._note_window(schedule.first_window(self._aggregate.windows))
        self._gate.publish()
        while any(worker.state == "running" for worker in self._aggregate.workers):
            await self._handle(await self._inbox.get())
        await self._workers.shut_down(EXIT_LIMIT_S)
        self._log_child_output(last=True)
        finals = self._finals.values()
        ended_by = ending.why_ended(self._options, self._aggregate, self._ended_by, finals)
        self._announcer.publish(Ended(ended_by, *ending.lengths(finals)))
        self._gate.publish()
        self._announcer.notice("end", f"the run has ended ({ended_by})")
        self._announcer.finish()
        summary = self._summarise()
        run_code = ending.exit_code_of_run(self._options, summary, self._signals)
        code = ending.with_thresholds(run_code, self._options, summary)
        return Result(summary, self._aggregate, code, run_code)

    async def wait_for_screen(self) -> None:
        """After the end of the run: wait until the user closes the screen, or until a signal arrives."""
        while self._screen is not None and not self._signals:
            match await self._inbox.get():
                case ScreenClosed() as closed:
                    self._screen_closed(closed)
                case Signalled():
                    return
                case SaveRequested():
                    self._announcer.save(self._summarise)

    async def close(self) -> None:
        """Close the inbox and the screen, and print what the console has held back. The workers have exited."""
        self._inbox.close()
        if self._screen_watch is not None:
            self._screen_watch.cancel()
        if self._screen is not None:
            await self._screen.close()
        self._log_child_output(last=True)
        self._announcer.console.release()

    def _note_window(self, window: Window) -> None:
        self._noted_window = window.index
        text, begin = facts.window_begins(self._options, window)
        now = self._announcer.now()
        self._announcer.notice("phase", text, now if begin is None else min(begin, now))

    def _log_child_output(self, *, last: bool = False) -> None:
        """Pass on the lines that workers and screen have written to stderr since the last call."""
        for writer, line in self._workers.new_lines(last=last):
            self._announcer.console.relay(writer, line)

    # --- before T0

    def _notes_of_targets(self) -> list[str]:
        """What the banner says about the ways to the targets, and about files of prompts."""
        found = [
            note
            for task in self._tasks
            for note in (
                task.resolved.target.note,
                describe_way(task.networks),
                describe_prompts(task.options, self._prepared.file(task.options)),
            )
        ]
        return list(dict.fromkeys(filter(None, found)))

    async def _get_ready(self, plans: list[Plan]) -> None:
        """The start barrier: returns when every worker has its plan and is ready to start."""
        while any(worker.state == "starting" for worker in self._aggregate.workers):
            match await self._inbox.get():
                case Hello(worker=number, pid=pid, version=version):
                    if version != PROTOCOL_VERSION:
                        versions = f"uses protocol version {version}, the coordinator {PROTOCOL_VERSION}"
                        raise CouldNotStart(f"worker {number} {versions}")
                    self._announcer.publish(WorkerChange(number, pid=pid))
                    await self._hub.send(number, Setup(plans[number]))
                case Ready(worker=number, startup_s=cpu_s, rss=rss):
                    self._announcer.publish(WorkerChange(number, "ready", startup_cpu_s=cpu_s, rss=rss))
                case Exited(worker=number, reason=reason):
                    raise CouldNotStart(f"worker {number} died before it was ready: {reason}")
                case Tick():
                    self._log_child_output()
                case Signalled(number=number):
                    raise Interrupted(number)
                case DrainRequested() | AbortRequested():
                    raise Interrupted(signal.SIGINT)
                case PauseRequested() | StreamsRequested() | RateRequested() | StageRequested() | SaveRequested():
                    self._announcer.notice("note", "too early: the run has not started")
                case ScreenClosed() as closed:
                    self._screen_closed(closed)

    async def _go(self) -> None:
        head_start_s = OPEN_HEAD_START_S if self._options.open else HEAD_START_S
        self._announcer.t0 = self._steering.t0 = time.monotonic_ns() + int(head_start_s * 1e9)
        for worker in self._aggregate.workers:
            self._announcer.publish(WorkerChange(worker.worker, "running"))
            self._heard_at[worker.worker] = time.monotonic()
            await self._hub.send(worker.worker, Go(self._announcer.t0))

    # --- from T0 on

    async def _handle(self, item: InboxItem) -> None:
        match item:
            case Delta() | Final() if self._aggregate.workers[item.worker].state != "running":
                pass  # the worker counts as lost: its later reports are not added
            case Delta():
                self._heard_at[item.worker] = time.monotonic()
                item = self._names.of_run(item, self._view.facts, self._announcer.publish)
                self._announcer.publish(item)
                self._gate.add(item)
                await self._words.follow(item)
                if self._aggregate.window > self._noted_window:
                    self._note_window(self._aggregate.windows[self._aggregate.window])
                await self._check_limits()
                await self._check_warmup()
                await self._follow_course()
            case Final():
                self._finals[item.worker] = item
                self._announcer.publish(WorkerChange(item.worker, "done", deltas=item.deltas))
                await self._hub.send(item.worker, Ack())
            case Exited():
                # messages that it sent before it exited may still arrive
                self._inbox.put_later(LATE_MESSAGES_S, Lost(item))
            case Lost():
                self._mark_lost(item.exited)
            case Signalled():
                await self._handle_signal(item.number)
            case Tick():
                await self._handle_tick()
            case ScreenClosed():
                self._screen_closed(item)
            case Hello() | Ready():
                pass  # too late: it runs already
            case _:
                await self._handle_command(item)

    def _mark_lost(self, exited: Exited) -> None:
        if self._aggregate.workers[exited.worker].state == "running":
            self._announcer.publish(WorkerChange(exited.worker, "lost", reason=exited.reason))
            self._announcer.warn(f"worker {exited.worker} was lost: {exited.reason}; the others continue")

    def _screen_closed(self, closed: ScreenClosed) -> None:
        self._screen = None
        self._detached = closed.code == DETACHED
        self._announcer.console.release()
        if self._view.ended is None and signal.SIGHUP not in self._signals:
            how = "" if closed.code in (0, DETACHED) else f" unexpectedly (exit code {closed.code})"
            self._announcer.warn(
                f"the screen was closed{how}; the run continues; `llmstress attach --control` opens it again"
            )

    async def _handle_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGHUP:
            if self._screen is not None:
                self._screen.terminate()  # the kernel may have sent SIGHUP to the session leader only
            if self._detached or self._signals:
                # After a detach the user may close the terminal. Shell and kernel may both send SIGHUP for one closed
                # terminal: the second one must not count as a second signal, which would abort the run.
                return
        self._signals.append(number)
        if len(self._signals) == 1:
            self._ended_by = self._ended_by or "signal"
            self._announcer.warn(f"{name}: {self._draining_text()}; a second signal ends the run at once")
            await self._stop(StopMode.DRAIN)
        else:
            self._announcer.warn(f"{name} again: ending at once")
            await self._abort()

    async def _handle_command(self, command: Command) -> None:
        """Carry out what a viewer asks for."""
        match command:
            case DrainRequested() if self._ended_by or self._aggregate.phase == Phase.DRAIN:
                pass  # the run drains already
            case DrainRequested():
                self._ended_by = "signal"
                self._announcer.notice("note", f"ended by you: {self._draining_text()}")
                await self._stop(StopMode.DRAIN)
            case AbortRequested():
                self._ended_by = "abort"
                self._announcer.notice("note", "ended by you, at once")
                await self._abort()
            case SaveRequested():
                self._announcer.save(self._summarise)
            case _ if self._ended_by or self._aggregate.phase == Phase.DRAIN:
                self._announcer.notice("note", "too late to change the load: the run is ending")
            case _ if self._course is not None:
                self._announcer.notice("note", f"{self._options.course} sets the load: it can't be changed by hand")
            case PauseRequested(on=on):
                await self._steering.pause(on)
            case StreamsRequested(total=total):
                await self._steering.set_streams(total)
            case RateRequested(per_s=per_s):
                await self._steering.set_rate(per_s)
            case StageRequested():
                await self._steering.next_stage()

    async def _check_limits(self) -> None:
        drains = self._ended_by or self._aggregate.phase == Phase.DRAIN
        url, api = redact_url(self._resolved.target.url), self._resolved.api_name
        pricing = self._view.facts.pricing
        limit = None if drains else ending.limit_reached(self._options, self._aggregate, url, api, pricing)
        if limit is not None:
            self._ended_by = limit.ended_by
            self._announcer.warn(f"{limit.text}; {self._draining_text()}")
            await self._stop(StopMode.DRAIN)
        elif not drains and (failed := self._gate.crossed()) is not None:
            limit = ending.threshold_limit(failed)
            self._ended_by = limit.ended_by
            self._announcer.warn(f"{limit.text}; ending at once")
            await self._abort()

    async def _check_warmup(self) -> None:
        """End a warm-up that is counted in requests, at the same stamp for all workers."""
        known = self._view.facts
        if known.warmup_requests is None or self._ended_by or self._aggregate.finished() < known.warmup_requests:
            return
        at = max(self._announcer.t0 + int(known.ramp_s * 1e9), time.monotonic_ns() + int(HEAD_START_S * 1e9))
        warmup_s = (at - self._announcer.t0) / 1e9 - known.ramp_s
        self._announcer.publish(msgspec.structs.replace(known, warmup_s=warmup_s, warmup_requests=None))
        steady_ns = facts.steady_ns(self._options)
        windows = schedule.steady_from(self._aggregate.windows, at - self._announcer.t0, steady_ns)
        await self._steering.set_windows(windows)

    async def _follow_course(self) -> None:
        """Have the course decide what comes next: a sweep or a search sets the load itself."""
        if self._course is None or self._ended_by:
            return
        await self._course.look()
        if self._course.ended:
            self._ended_by = "points"

    async def _handle_tick(self) -> None:
        self._log_child_output()
        self._ticks += 1
        if not self._ended_by:
            await self._token_rate.follow()
        self._gate.publish()
        if self._ticks % int(self._options.progress_s) == 0:
            window_s = min(max(MIN_PROGRESS_WINDOW_S, self._options.progress_s), float(FINE_S))
            asked = asked_lately(self._view, window_s)
            unit = "requests" if self._view.profile is None else self._view.profile.unit
            picture = snapshot.take(self._aggregate, window_s=window_s, asked_per_s=asked, asked_unit=unit)
            self._announcer.console.progress(picture, self._view.facts.objectives)
        if self._ticks % FLUSH_S == 0:
            self._announcer.flush_record()
        for worker in self._aggregate.workers:
            if worker.state != "running":
                continue
            if time.monotonic() - self._heard_at[worker.worker] > SILENCE_LIMIT_S:
                self._announcer.warn(
                    f"worker {worker.worker} has not reported for {SILENCE_LIMIT_S:g} s and is being stopped"
                )
                self._workers.kill(worker.worker)
            elif self._aborted_at and time.monotonic() - self._aborted_at > ABORT_LIMIT_S:
                self._workers.kill(worker.worker)

    def _draining_text(self) -> str:
        return f"finishing open requests (up to {duration(self._options.grace_s)})"

    async def _stop(self, mode: StopMode) -> None:
        await self._steering.order_all(Stop(mode))

    async def _abort(self) -> None:
        self._aborted_at = self._aborted_at or time.monotonic()
        await self._stop(StopMode.ABORT)

    def _summarise(self) -> Summary:
        """The summary of what has been measured so far."""
        times = os.times()
        known = Facts(
            run=facts.run_info(self._options, self._resolved.target, self._view),
            ended_by=self._view.ended.by if self._view.ended is not None else "running",
            startup_s=self._startup_s,
            coordinator_cpu_s=times.user + times.system,
            points=None if self._course is None else self._course.found(),
            windows=steady_windows(self._view),
            tasks=task_figures(self._view),
            bands=self._options.bands,
            arrival=self._view.facts.arrival,
            burstiness=self._options.burstiness,
            bystander_per_s=None if self._options.bystander is None else self._options.bystander.per_s,
            objectives=self._view.facts.objectives,
            steps=self._view.facts.steps,
            judgements=self._view.judgements,
            pricing=self._view.facts.pricing,
            words_per_token=self._words.rows(),
            trace=replay.trace_info(self._options, self._trace, self._replay, self._aggregate),
        )
        return summarise(self._aggregate, known)
