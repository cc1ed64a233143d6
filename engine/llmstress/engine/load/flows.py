"""Flows: sessions of named steps, such as login, search, chat. What an answer says goes into later requests.

A stream is a user. Set-up steps are made once for each user, before its first flow, and again when the server answers
401: what they extract is the user's, and every flow of this user has it.
"""

import random
from collections.abc import Hashable, Mapping, Sequence

from llmstress.engine.load.flow_requests import FlowRequests
from llmstress.engine.load.sessions import Over, Session, SessionKind, Step
from llmstress.engine.load.think import think_times
from llmstress.engine.outcome import End
from llmstress.engine.secrets import SHORTEST
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.extracting import Extractor
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.task import Request
from llmstress.engine.telemetry.flows import DURATION

UNAUTHORIZED = "http_401"


class Users:
    """The users of a worker: its streams, numbered in the order of their first flows. Worker w of n has the numbers
    w + 1, w + 1 + n, w + 1 + 2n, ... The streams are divided by `share`, so all N of a run have the numbers 1 to N."""

    def __init__(self, worker: int, workers: int) -> None:
        self._worker = worker
        self._workers = workers
        self._numbers: dict[Hashable, int] = {}

    def number(self, user: Hashable) -> int:
        """The number of a user; `user`: its stream."""
        return self._numbers.setdefault(user, self._worker + 1 + len(self._numbers) * self._workers)


class Flows(SessionKind):
    """Makes the flows of one task."""

    def __init__(self, steps: Sequence[FlowRequests], users: Users) -> None:
        """steps: in the order of the file; at least one is no set-up. users: those of the worker."""
        super().__init__([each.task for each in steps])
        self.setup = tuple(each for each in steps if each.plan.setup)
        self.steps = tuple(each for each in steps if not each.plan.setup)
        self.users = users
        self.secret = frozenset(each.name for step in steps for each in step.plan.extracts if each.secret)
        """The variables whose values must not be shown."""
        self.known: dict[int, dict[str, str]] = {}
        """User -> what its set-up has extracted; a user without set-up is not in it."""

    @property
    def dials(self) -> Dials:
        """What opens connections for the first step: few flows begin with the set-up."""
        return self.steps[0].task.dials

    def begin(self, number: int, user: Hashable) -> "Flow":
        """The flow of a number, of this user."""
        return Flow(self, number, self.users.number(user))

    def examples(self) -> list[tuple[str, Request]]:
        """The name and the request of each step of the first flow, in which variables whose values only a server knows
        stand by their names."""
        values = _Named(user="1", number="1")
        return [(each.name, each.make(0, values)[0]) for each in (*self.setup, *self.steps)]


class _Named(dict[str, str]):
    """Values of variables; one that is missing stands by its name."""

    def __missing__(self, name: str) -> str:
        return f"{{{{{name}}}}}"


class Flow(Session):
    """One flow."""

    __slots__ = (
        "_again",
        "_begun",
        "_extractor",
        "_kind",
        "_number",
        "_random",
        "_secrets",
        "_setting_up",
        "_todo",
        "_user",
        "_values",
    )

    def __init__(self, kind: Flows, number: int, user: int) -> None:
        self._kind = kind
        self._number = number
        self._user = user
        self._random = random.Random(f"{kind.steps[0].plan.seed}/flow/{number}")
        self._values = {"user": str(user), "number": str(number + 1)}
        self._setting_up: dict[str, str] = {}
        """What the set-up has extracted so far."""
        self._secrets: tuple[str, ...] = ()
        """The secrets among the values, also those that others have replaced."""
        self._again = False
        """The set-up has been done again for the step that is to come."""
        self._begun = 0
        self._extractor: Extractor | None = None
        known = kind.known.get(user) if kind.setup else {}
        self._todo = [*kind.steps] if known is not None else [*kind.setup, *kind.steps]
        self._know(known or {})

    def first(self) -> Request:
        """The request of the first step, or of the set-up."""
        return self._request()

    def next(self, exchange: Exchange, end: End) -> Step | Over:
        """The request of the next step; after a 401 that of the set-up."""
        kind, step = self._kind, self._todo[0]
        self._begun = self._begun or exchange.due
        if end.outcome == UNAUTHORIZED and kind.setup and not (step.plan.setup or self._again):
            kind.samples.counters.set_up_again += 1
            kind.known.pop(self._user, None)
            self._again = True
            self._todo[:0] = kind.setup
            return Step(self._request())
        if end.failed or not self._take(step):
            return Over.FAILED
        del self._todo[0]
        if not self._todo:
            kind.samples.set_aside(DURATION, (exchange.end_at - self._begun) // 1000)
            return Over.COMPLETED
        if self._again and step.plan.setup:
            return Step(self._request())  # the step has had its wait
        self._again = False
        return Step(self._request(), next(think_times(self._todo[0].plan.think, self._random)))

    def _request(self) -> Request:
        step = self._todo[0]
        request, self._extractor = step.make(
            self._user if step.plan.setup else self._number, self._values, self._secrets
        )
        return request

    def _know(self, values: Mapping[str, str]) -> None:
        self._values.update(values)
        secret = self._kind.secret
        if secret:
            new = (value for name, value in values.items() if name in secret and len(value) >= SHORTEST)
            self._secrets = tuple({*self._secrets, *new})

    def _take(self, step: FlowRequests) -> bool:
        """Take over what the answer has; whether everything is there."""
        extractor = self._extractor
        values = {} if extractor is None else extractor.values
        if values is None:
            return False
        self._know(values)
        if step.plan.setup:
            self._setting_up.update(values)
            if step is self._kind.setup[-1]:
                self._kind.known[self._user] = self._setting_up
                self._setting_up = {}
        return True
