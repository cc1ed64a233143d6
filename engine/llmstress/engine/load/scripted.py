"""Users in Python as sessions: a session is one task of one user, and a stream is a user as long as the run lasts.

The code of a user runs as a task of asyncio on the worker's loop. It asks for requests, which the load begins as it
begins those of other sessions.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from llmstress.engine.load.mix import Mix
from llmstress.engine.load.script_requests import ScriptRequests
from llmstress.engine.load.sessions import Over, Seat, Session, SessionKind, Step
from llmstress.engine.load.turns import Turns
from llmstress.engine.outcome import End
from llmstress.engine.scenario.answer import Answer, RequestFailed
from llmstress.engine.scenario.port import Wish
from llmstress.engine.scenario.user import StopUser, User
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.observer import Observer
from llmstress.engine.stream.samples import Samples
from llmstress.engine.stream.task import Request, Task
from llmstress.engine.telemetry.flows import DURATION

ON_START, ON_STOP = "on_start", "on_stop"
"""The tasks whose requests are those of these methods."""

MOST_REFUSALS = 10
"""Requests that are refused with `CancelledError` to a user that has been cut off. Code that goes on after that waits
for its next one for ever: it can't hold up the process."""


class UserClass(NamedTuple):
    """A class of users, as a worker runs it."""

    make: Callable[["Person"], User]
    methods: dict[int, Callable[[Any], Awaitable[Any]]]
    """Number of a task -> the method that does it."""
    mix: Mix
    """The order of its tasks."""


class Scripts(SessionKind):
    """Makes the sessions of the users of a scenario."""

    def __init__(
        self,
        tasks: Sequence[Task],
        classes: Sequence[UserClass],
        order: Mix,
        numbers: Iterator[int],
        requests: ScriptRequests,
        surroundings: "Surroundings",
    ) -> None:
        """tasks: those of all classes, whose statistics are those of the sessions. order: of the first task of each
        class, by the weights of the classes: it gives the class of the users of each new stream. numbers: of the users,
        from 0 on."""
        super().__init__(tasks)
        self.classes = {user_class.mix.tasks[0].id: user_class for user_class in classes}
        self.order = order
        self.numbers = numbers
        self.requests = requests
        self.surroundings = surroundings
        self._people: dict[Hashable, Person] = {}

    def begin(self, number: int, user: Hashable) -> "Script":
        """The next task of this user."""
        person = self._people.get(user)
        if person is None or person.gone:
            # who leaves is followed by a user of the same class: the classes keep their shares of the streams
            user_class = self.classes[_id(self.order)] if person is None else person.user_class
            person = self._people[user] = Person(self, user_class, next(self.numbers))
        task, _ = person.user_class.mix.take()
        assert isinstance(task, Task)
        return Script(person, task)

    def stray(self, error: BaseException | None) -> bool:
        """Counted with the first task: which user has begun it is not known."""
        first = self.tasks[0]
        assert isinstance(first, Task)
        if error is not None and not isinstance(error, RequestFailed):
            self.surroundings.failed(error, first)
        return True


def _id(order: Mix) -> int:
    task, _ = order.take()
    assert isinstance(task, Task)
    return task.id


class Surroundings(NamedTuple):
    """What people need of their worker."""

    loop: asyncio.AbstractEventLoop
    turns: Turns
    seed: int
    secret: Callable[[str], str]
    failed: Callable[[BaseException, Task], None]
    """Is told of an exception in the code of a user, and of the task that it did."""


class Script(Session):
    """One task of a person."""

    LEAVES = True

    __slots__ = ("_person", "_task")

    def __init__(self, person: "Person", task: Task) -> None:
        self._person = person
        self._task = task

    @property
    def samples(self) -> Samples:
        """Those of the task."""
        return self._task.samples

    def seated(self, seat: Seat) -> None:
        """The person's code goes on."""
        self._person.sit_down(seat, self._task)

    def first(self) -> Request | None:
        """Not known yet: the code says it."""
        return None

    def next(self, exchange: Exchange, end: End) -> Step | Over | None:
        """Not known yet: the code says it."""
        self._person.freed()
        return None

    def cut(self) -> None:
        """The code is cancelled where it waits."""
        self._person.cut()


class Person:
    """A user with its code; the load's side of it (`Port`)."""

    __slots__ = (
        "_coroutine",
        "_doing",
        "_held",
        "_kind",
        "_open",
        "_over",
        "_refusals",
        "_seat",
        "_started",
        "_user",
        "busy",
        "gone",
        "is_cut",
        "loop",
        "number",
        "random",
        "user_class",
    )

    def __init__(self, kind: Scripts, user_class: UserClass, number: int) -> None:
        self.loop = kind.surroundings.loop
        self.number = number + 1
        self.random = random.Random(f"{kind.surroundings.seed}/user/{number}")
        self.busy = False
        """A request of it uses its stream, or is about to."""
        self.gone = False
        """It does no more tasks: the next session of its stream is another user's."""
        self.is_cut = False
        """The load has cut it off."""
        self._kind = kind
        self.user_class = user_class
        self._user = user_class.make(self)
        self._seat: Seat | None = None
        self._coroutine: asyncio.Task[None] | None = None
        self._started = False
        self._doing = ON_START
        self._held: list[Answer] = []
        self._open: dict[Observer, Callable[[], None]] = {}
        """Requests of its task that are not over -> what gives them up."""
        self._over: tuple[Over, int] | None = None
        """How the task has ended, and the wait after it, while its stream is still in use."""
        self._refusals = 0

    # --- what its sessions do

    def sit_down(self, seat: Seat, task: Task) -> None:
        """Do a task. What it asks for begins on this seat."""
        self._seat = seat
        self._coroutine = self.loop.create_task(self._do(task))

    def cut(self) -> None:
        """The session is cut off."""
        self._seat = None
        self.gone = self.is_cut = True
        self._give_up()
        self.release()
        if self._coroutine is not None:
            self._coroutine.cancel()

    async def _do(self, task: Task) -> None:
        begun = time.monotonic()
        try:
            over = await self._act(task)
            wait_s = self._user.wait_time.after(self.random, time.monotonic() - begun)
        except BaseException as error:
            self._note(error, task)
            over, wait_s = Over.FAILED, 0.0
        self._coroutine = None
        self._give_up()
        self.release()
        self._over = over, round(wait_s * 1e9)
        if not self.busy:
            self._leave_seat()

    async def _act(self, task: Task) -> Over:
        user = self._user
        try:
            if not self._started:
                self._doing = ON_START
                await user.on_start()
                self._started = True
            self._doing, begun = task.name, time.monotonic()
            await self.user_class.methods[task.id](user)
        except StopUser:
            self.gone = True
            await self._stop(task)
            return Over.COMPLETED
        except BaseException as error:
            self._note(error, task)
            return Over.FAILED
        task.samples.set_aside(DURATION, round((time.monotonic() - begun) * 1e6))
        return Over.COMPLETED

    async def _stop(self, task: Task) -> None:
        self._doing = ON_STOP
        try:
            await self._user.on_stop()
        except StopUser:
            pass  # it does
        except BaseException as error:
            self._note(error, task)

    def _note(self, error: BaseException, task: Task) -> None:
        """Count what the code of the user has raised, unless that is counted already, or it was cut off."""
        if isinstance(error, GeneratorExit) or (isinstance(error, asyncio.CancelledError) and self._seat is None):
            raise error
        if isinstance(error, asyncio.CancelledError):
            error = RuntimeError("the code cancelled itself")
        if not isinstance(error, RequestFailed):
            self._kind.surroundings.failed(error, task)

    def _give_up(self) -> None:
        """Nobody waits any more for what is in flight."""
        left, self._open = [*self._open.values()], {}
        for give_up in left:
            give_up()

    def freed(self) -> None:
        """No request of it uses its stream any more."""
        self.busy = False
        if self._over is not None:
            self.loop.call_soon(self._leave_seat)

    def _leave_seat(self) -> None:
        """The task has ended, and its stream is free."""
        seat, self._seat = self._seat, None
        ended, self._over = self._over, None
        if seat is not None and ended is not None:
            over, wait_ns = ended
            seat.over(over, wait_ns)

    @property
    def has_answers(self) -> bool:
        """Answers wait to be counted. Those to requests that run at once, as in a `gather`, wait for the last one:
        only then can the code check them."""
        return bool(self._held) and not self._open

    def release(self) -> None:
        """Count what waits for that."""
        held, self._held = self._held, []
        for answer in held:
            answer.release()

    # --- what its code does (`Port`)

    def begin(self, wish: Wish, observer: Observer, give_up: Callable[[], None]) -> None:
        """Begin a request on the person's stream; if that is in use, on another one."""
        if self._seat is None or self._over is not None:
            self._refusals += 1
            if self._refusals > MOST_REFUSALS:
                return
            raise asyncio.CancelledError
        request = self._kind.requests.make(self._doing, wish, observer)
        self._open[observer] = give_up
        if self.busy:
            self._seat.beside(request)
        else:
            self.busy = True
            self._seat.go_on(request)

    def resume(self, future: "asyncio.Future[None]") -> None:
        """Let the code go on."""
        self._kind.surroundings.turns.resume(future, self)

    def ended(self, observer: Observer) -> None:
        """The code may have begun it, and be over."""
        self._open.pop(observer, None)

    def held(self, answer: Answer) -> None:
        """Release it when the code has had its turn."""
        self._held.append(answer)
        if self._seat is None or self._over is not None:  # nobody checks it any more
            self.release()

    def clock(self) -> int:
        """Now."""
        return time.monotonic_ns()

    def secret(self, name: str) -> str:
        """Of the environment."""
        return self._kind.surroundings.secret(name)
