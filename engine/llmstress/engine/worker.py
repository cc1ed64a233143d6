"""The main of one load-generating process: `python -m llmstress.engine.worker ENDPOINT NUMBER PARENT_PID`.

Secrets arrive over the socket, never in argv.
"""

import asyncio
import gc
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llmstress.engine.connect.dialers import Dialers
from llmstress.engine.connect.loop import Loop
from llmstress.engine.control import (
    Ack,
    Final,
    Go,
    Hello,
    Pause,
    Plan,
    Ready,
    SetProfile,
    SetStreams,
    Setup,
    SetWindows,
    SetWordsPerToken,
    Stop,
    StopMode,
    ToWorker,
)
from llmstress.engine.health.lag import LagMeter, host_times, resident_bytes
from llmstress.engine.health.orphan import die_with_parent
from llmstress.engine.load.build import build_bystander, build_model
from llmstress.engine.load.load import Load, Model
from llmstress.engine.prompts.file import FileChanged
from llmstress.engine.stream.failure_policy import END
from llmstress.engine.stream.progress import NEVER
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.telemetry.messages import PROTOCOL_VERSION, ErrorSample, Window
from llmstress.engine.uplink import Uplink
from llmstress.engine.worker_log import WorkerLog

CHECK_S = 0.05
"""How often time limits are checked, for a fifth of the streams: each stream is checked four times a second."""

ACK_S = 5.0
"""Time limit for the coordinator's acknowledgement."""


def main() -> None:
    """Entry point of the process."""
    endpoint, number, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    die_with_parent(parent)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(work(endpoint, number))
        if asyncio.all_tasks(runner.get_loop()):  # code of users may go on after it was cancelled
            os._exit(0)


async def work(endpoint: str, number: int) -> None:
    """Connect to the coordinator, get ready, run the plan, report, leave."""
    uplink = Uplink(endpoint, b"worker-%d" % number)
    await uplink.send(Hello(number, os.getpid(), PROTOCOL_VERSION))
    plan = (await uplink.expect(Setup)).plan
    recorder = Recorder(number, host=host_times) if number == 0 else Recorder(number)
    log = WorkerLog(plan)
    async with Dialers(log.dialer) as dialers:
        for task in plan.tasks:
            await dialers.open(task)
        model = build_model(plan, recorder, dialers.of)
        bystander = build_bystander(plan, model.load, dialers.of)
        models = [model] if bystander is None else [model, bystander]
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        await uplink.send(Ready(number, time.process_time(), resident_bytes()))
        orders = _Orders(plan.windows)
        while not isinstance(word := await uplink.receive(), Go):
            _obey(word, models, orders)
        await run(plan, recorder, models, uplink, orders, log, word.t0)
    log.run_ended()
    await uplink.send(
        Final(
            number,
            recorder.deltas,
            recorder.steady_ns,
            recorder.drain_ns,
            exhausted=model.load.requests_left == 0 or model.over,
        )
    )
    async with asyncio.timeout(ACK_S):
        while not isinstance(await uplink.receive(), Ack):
            pass
    uplink.close()


async def run(
    plan: Plan, recorder: Recorder, models: Sequence[Model], uplink: Uplink, orders: "_Orders", log: WorkerLog, t0: int
) -> None:
    """From T0 to the last delta: ramp, warm-up and steady window by the clock, then the drain.

    `models`: that of the load, which decides when the run is over, and perhaps the bystander.
    """
    loads = [model.load for model in models]
    load = loads[0]
    for model in models:
        model.prepare(t0)
    await _sleep_until(t0)
    recorder.begin(t0, plan.windows, lambda: itertools.chain.from_iterable(each.in_flight() for each in loads))
    stop_at = orders.drains_at(t0)

    def measured(late_us: int) -> None:
        # The same timer folds what was collected: 1,400 gaps at 70,000 events/s, 0.2 ms of work. A second timer would
        # double the wake-ups of an idle process.
        recorder.loop_lag(late_us)
        if load.reads.arrived:
            recorder.fold()  # reads that wait to be processed will cross the window's edge by their own stamps
        else:
            recorder.tick()

    meter = LagMeter(measured)
    tasks = [
        asyncio.create_task(coroutine)
        for coroutine in (
            _listen(uplink, models, orders),  # first: orders from before T0 are obeyed before anything starts
            *(_every(CHECK_S, each.check) for each in loads),
            _send_deltas(recorder, uplink, log, t0, int(plan.interval_s * 1e9)),
            *(_start(model, orders, t0, stop_at) for model in models),
        )
    ]

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            load.fail(fault)

    for task in tasks:
        task.add_done_callback(ended)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: _handle(load, loop, context))
    try:
        while not (load.exhausted.is_set() or orders.stop.is_set() or time.monotonic_ns() >= stop_at):
            await _wait((load.exhausted, orders.stop, orders.new_windows), stop_at)
            if orders.new_windows.is_set():
                orders.new_windows.clear()
                recorder.set_windows(orders.windows)
                stop_at = orders.drains_at(t0)
                for each in loads:
                    each.stop_from(stop_at)
        if not load.exhausted.is_set():
            for each in loads:
                each.stop(time.monotonic_ns())
            recorder.drain_from(min(stop_at, time.monotonic_ns()))
            grace_ends = time.monotonic_ns() + int(plan.grace_s * 1e9)
            await _wait((load.exhausted, orders.abort), grace_ends)
        if isinstance(load.fault, FileChanged):
            said = ErrorSample("exception", 0, str(load.fault), "")
            recorder.keep_error_sample(said)
            recorder.fatal(END, said)
        elif load.fault is not None:
            raise load.fault
        for each in loads:
            each.cut()
        recorder.finish(time.monotonic_ns())
    finally:
        meter.close()
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, FileChanged):
                raise result
    while not uplink.try_send(delta := recorder.cut(time.monotonic_ns(), resident_bytes())):
        recorder.not_sent()
        await asyncio.sleep(CHECK_S)
    recorder.sent(delta)
    log.delta_sent(delta)


class _Orders:
    """The coordinator's orders that the run waits for."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        self.windows = windows
        self.new_windows = asyncio.Event()
        self.stop = asyncio.Event()
        self.abort = asyncio.Event()

    def set_windows(self, windows: tuple[Window, ...]) -> None:
        """The run has these windows."""
        self.windows = windows
        self.new_windows.set()

    def drains_at(self, t0: int) -> int:
        """Stamp at which the drain begins; `NEVER`: when it is ordered, or the requests are used up."""
        begin = self.windows[-1].begin
        return NEVER if begin is None else t0 + begin


def _handle(load: Load, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle an exception that no code caught. After one in a callback of llmstress the run can't be trusted; others
    (notes of aiohttp and uvloop about transports) are written to the log."""
    if "handle" in context and isinstance(fault := context.get("exception"), Exception):
        load.fail(fault)
    elif "handle" not in context and load.model.stray(context.get("exception")):
        pass
    else:
        loop.default_exception_handler(context)


async def _listen(uplink: Uplink, models: Sequence[Model], orders: _Orders) -> None:
    while True:
        _obey(await uplink.receive(), models, orders)


def _obey(word: ToWorker, models: Sequence[Model], orders: _Orders) -> None:
    match word:
        case SetStreams(streams=number):
            models[0].set_streams(number)
        case Pause(on=on, at=at):
            for model in models:
                model.pause(on, at)
        case SetProfile(profile=profile):
            models[0].set_profile(profile)
        case SetWindows(windows=windows):
            orders.set_windows(windows)
        case SetWordsPerToken(task=task, from_request=number, ratio=ratio):
            _correct(models[0], task, number, ratio)
        case Stop(mode=mode):
            orders.stop.set()
            if mode is StopMode.ABORT:
                orders.abort.set()
        case _:
            raise RuntimeError(f"expected an order, got {type(word).__name__}")


def _correct(model: Model, task: int, number: int, ratio: float) -> None:
    correct = model.mix.tasks[task].correct
    if correct is not None and (since := correct(number, ratio)) > number:
        model.load.recorder.corrected_late[task] = since


async def _start(model: Model, orders: _Orders, t0: int, stop_at: int) -> None:
    if orders.stop.is_set():
        return
    model.load.stop_from(stop_at)
    await model.start(t0)
    gc.freeze()  # streams and connections live as long as the run: the collector need not walk them


async def _send_deltas(recorder: Recorder, uplink: Uplink, log: WorkerLog, t0: int, interval_ns: int) -> None:
    for number in itertools.count(1):
        await _sleep_until(t0 + number * interval_ns)
        delta = recorder.cut(time.monotonic_ns(), resident_bytes())
        if uplink.try_send(delta):
            recorder.sent(delta)
            log.delta_sent(delta)
        else:
            recorder.not_sent()


async def _every(seconds: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        work()


async def _sleep_until(stamp: int) -> None:
    while (wait := stamp - time.monotonic_ns()) > 0:  # uvloop's timers fire up to 1 ms early
        await asyncio.sleep(wait / 1e9)


async def _wait(events: Iterable[asyncio.Event], until: int) -> None:
    """Wait until one of the events is set, or until a stamp, and never less."""
    waiters: list[asyncio.Task[object]] = [asyncio.create_task(event.wait()) for event in events]
    if until != NEVER:
        waiters.append(asyncio.create_task(_sleep_until(until)))
    await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    for waiter in waiters:
        waiter.cancel()


if __name__ == "__main__":
    main()
