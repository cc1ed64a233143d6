"""Users in Python as sessions: a session is one task of one user, and a stream is a user as long as the run lasts.

The code of a user runs as a task of asyncio on the worker's loop. It asks for requests, which the load begins as it
begins those of other sessions.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
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

ON_START = "on_start"
"""The task whose requests are those of `on_start`."""


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
        requests: ScriptRequests,
        surroundings: "Surroundings",
    ) -> None:
        """tasks: those of all classes, whose statistics are those of the sessions. order: of the first task of each
        class, by the weights of the classes: it gives the class of each new user."""
        super().__init__(tasks)
        self.classes = {user_class.mix.tasks[0].id: user_class for user_class in classes}
        self.order = order
        self.requests = requests
        self.surroundings = surroundings
        self.over = False
        """The run is over: no request begins any more."""
        self._people: dict[Hashable, Person] = {}

    def begin(self, number: int, user: Hashable) -> "Script":
        """The next task of this user."""
        person = self._people.get(user)
        if person is None or person.gone:
            first, place = self.order.take()
            assert isinstance(first, Task)
            person = self._people[user] = Person(self, self.classes[first.id], place)
        task, _ = person.user_class.mix.take()
        assert isinstance(task, Task)
        return Script(person, task)


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
        self._person.busy = False
        return None

    def cut(self) -> None:
        """The code is cancelled where it waits."""
        self._person.leave()


class Person:
    """A user with its code; the load's side of it (`Port`)."""

    __slots__ = (
        "_coroutine",
        "_doing",
        "_held",
        "_kind",
        "_seat",
        "_started",
        "_user",
        "busy",
        "gone",
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
        self._kind = kind
        self.user_class = user_class
        self._user = user_class.make(self)
        self._seat: Seat | None = None
        self._coroutine: asyncio.Task[None] | None = None
        self._started = False
        self._doing = ON_START
        self._held: list[Answer] = []

    # --- what its sessions do

    def sit_down(self, seat: Seat, task: Task) -> None:
        """Do a task. What it asks for begins on this seat."""
        self._seat = seat
        self._coroutine = self.loop.create_task(self._do(task))

    def leave(self) -> None:
        """The session is cut off."""
        self._seat = None
        self.gone = True
        self.release()
        if self._coroutine is not None:
            self._coroutine.cancel()

    async def _do(self, task: Task) -> None:
        user, kind = self._user, self._kind
        over, begun = Over.FAILED, time.monotonic()
        try:
            if not self._started:
                self._doing = ON_START
                await user.on_start()
                self._started = True
            self._doing, begun = task.name, time.monotonic()
            await self.user_class.methods[task.id](user)
            task.samples.set_aside(DURATION, round((time.monotonic() - begun) * 1e6))
            over = Over.COMPLETED
        except StopUser:
            over, self.gone = Over.COMPLETED, True
        except RequestFailed:
            pass  # the request is counted already
        except asyncio.CancelledError:
            if self._seat is None:
                raise
            kind.surroundings.failed(RuntimeError("the code cancelled itself"), task)
        except Exception as error:
            kind.surroundings.failed(error, task)
        self.release()
        if self._seat is not None:
            wait = user.wait_time.after(self.random, time.monotonic() - begun)
            seat, self._seat, self._coroutine = self._seat, None, None
            seat.over(over, round(wait * 1e9))

    @property
    def has_answers(self) -> bool:
        """Answers wait to be counted."""
        return bool(self._held)

    def release(self) -> None:
        """Count what waits for that."""
        held, self._held = self._held, []
        for answer in held:
            answer.release()

    # --- what its code does (`Port`)

    def begin(self, wish: Wish, observer: Observer) -> None:
        """Begin a request on the person's stream; if that is in use, on another one."""
        if self._seat is None or self._kind.over:
            raise asyncio.CancelledError
        request = self._kind.requests.make(self._doing, wish, observer)
        if self.busy:
            self._seat.beside(request)
        else:
            self.busy = True
            self._seat.go_on(request)

    def resume(self, future: "asyncio.Future[None]") -> None:
        """Let the code go on."""
        self._kind.surroundings.turns.resume(future, self)

    def held(self, answer: Answer) -> None:
        """Release it when the code has had its turn."""
        self._held.append(answer)

    def clock(self) -> int:
        """Now."""
        return time.monotonic_ns()

    def secret(self, name: str) -> str:
        """Of the environment."""
        return self._kind.surroundings.secret(name)
