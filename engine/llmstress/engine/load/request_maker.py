"""Makes the requests of a task: every request of a load is put together here.

Whoever decides what a request asks (a source of single requests, a conversation, a step of a flow) says what is its own
as `Drawn`. What the task says for all of its requests is added here: the encoded bytes, what was asked for and is
compared with the answer, and the observers that check answers and abandon requests.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api
from llmstress.engine.load.watching import Observe
from llmstress.engine.prompts.synthetic import Drawn
from llmstress.engine.stream.observer import Observer, both
from llmstress.engine.stream.task import Request, Task

NOTHING = Drawn(None, None)
"""The request has nothing of its own."""

NO_VALUES: Mapping[str, str] = MappingProxyType({})

Encode = Callable[[Ask, Mapping[str, str]], bytes]
"""Gives head and body of a request, with these values of variables."""


class RequestMaker:
    """Makes the requests of one task, or of the steps of a session that differ in their task alone."""

    __slots__ = ("_ask", "_encode", "_fixed", "_limited", "_observe")

    def __init__(self, api: Api, encode: Encode, observe: Observe | None = None, *, varies: bool = False) -> None:
        """
        api: its `ask` has what all requests have in common. observe: gives the observers that the task has for the
        request of a number; None: it has none. varies: requests have variables, so that none is encoded in advance.
        """
        self._ask = api.ask
        self._encode = encode
        self._observe = observe
        self._limited = takes_lengths(api.body, api.ask)
        self._fixed = None if varies else encode(api.ask, NO_VALUES)

    @property
    def observes(self) -> bool:
        """Requests have observers of their own, so no two are the same."""
        return self._observe is not None

    @property
    def size(self) -> int:
        """Bytes of a request that has nothing of its own; 0: requests have variables."""
        return len(self._fixed or b"")

    def make(
        self,
        task: Task,
        number: int,
        drawn: Drawn = NOTHING,
        *,
        values: Mapping[str, str] = NO_VALUES,
        observer: Observer | None = None,
    ) -> Request:
        """The request of a number.

        task: under which it is counted. number: no other request of the task has it; who is observed how follows from
        it. drawn: what is its own. values: of the variables. observer: of whoever wants to know about the answer.
        """
        if self._observe is not None:
            observer = both(self._observe(number), observer)
        return self.unobserved(task, drawn, values, observer)

    def unobserved(
        self,
        task: Task,
        drawn: Drawn = NOTHING,
        values: Mapping[str, str] = NO_VALUES,
        observer: Observer | None = None,
    ) -> Request:
        """A request without the observers of the task, to be kept and used again (`observed`)."""
        ask, data, output = self._ask, self._fixed, 0
        if drawn is not NOTHING or data is None:
            changes = changes_by(drawn, ask)
            if changes:
                ask = msgspec.structs.replace(ask, **changes)
            data = self._encode(ask, values)
            output = ask.limit if self._limited and "max_tokens" in changes else 0
        asked, words = drawn.input * ask.batch, drawn.words * ask.batch
        return Request(task, data, ask.least_output, asked, output, observer, made_words=words)

    def observed(self, request: Request, number: int) -> Request:
        """A request that was made otherwise, with the observers that the task has for this number."""
        observer = None if self._observe is None else self._observe(number)
        return request if observer is None else request._replace(observer=both(observer, request.observer))


def changes_by(drawn: Drawn, ask: Ask) -> dict[str, Any]:
    """The fields of `ask` that a request has of its own."""
    changes: dict[str, Any] = {}
    if drawn.output is not None:
        changes["max_tokens"] = drawn.output
    if drawn.prompt is not None:
        changes["prompt"] = drawn.prompt
    elif drawn.ids:
        changes["prompt_ids"] = drawn.ids
    elif drawn.messages:
        changes["messages"] = drawn.messages
    if drawn.body:
        changes["extra"] = {**drawn.body, **ask.extra}
    return changes


def takes_prompts(body: Callable[[Ask], bytes], ask: Ask) -> bool:
    """Whether the prompt is in the body of a request."""
    bodies = {body(msgspec.structs.replace(ask, prompt=prompt)) for prompt in ("one", "two")}
    return len(bodies) > 1


def takes_lengths(body: Callable[[Ask], bytes], ask: Ask) -> bool:
    """Whether the limit of output tokens is in the body of a request. It is not if the API has none, or if the user's
    own JSON replaces or removes it."""
    bodies = {body(msgspec.structs.replace(ask, max_tokens=tokens)) for tokens in (1, 2)}
    return len(bodies) > 1
