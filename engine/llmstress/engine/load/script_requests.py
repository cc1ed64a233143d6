"""Wishes of users -> requests, and the tasks whose statistics they are in."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api
from llmstress.engine.control import TaskPlan
from llmstress.engine.http.request import LENGTH, head_of
from llmstress.engine.load.watching import Observe, observe_of
from llmstress.engine.scenario.port import Wish
from llmstress.engine.stream.observer import Observer, both
from llmstress.engine.stream.task import Request, Task

MOST_HEADS = 20_000
"""Encoded heads that are kept. Users who have logged in have one each: 400 bytes."""

_OF_A_TASK = ("stream", "method", "batch")
"""Fields of `Ask` that requests of one task have in common."""

_NOT_OTHERS = frozenset({"prompt", "messages", *_OF_A_TASK})

BuildTask = Callable[[TaskPlan, int], Task]
"""Builds a task with a plan and a number."""

NumberOf = Callable[[str, str], int]
"""Gives the number of the statistics of a name: the task's, and the request's."""


class ScriptRequests:
    """Makes the requests of all users of a worker."""

    def __init__(self, plans: Mapping[str, TaskPlan], build_task: BuildTask, number_of: NumberOf) -> None:
        """plans: kind of a wish -> what such requests have in common."""
        self._plans = plans
        self._build_task = build_task
        self._number_of = number_of
        self._tasks: dict[tuple[object, ...], _Named] = {}
        self._made = 0
        self._heads: dict[tuple[object, ...], tuple[bytes, bytes]] = {}

    def make(self, task_name: str, wish: Wish, observer: Observer) -> Request:
        """The request that a user wants while it does the task of this name.

        Raises:
            ValueError: there can be no such request.
        """
        plan = self._plans.get(wish.kind)
        if plan is None:
            kinds = ", ".join(self._plans)
            raise ValueError(f"requests of the kind {wish.kind} can't be sent in this run; there are {kinds}")
        fields = tuple(wish.ask.get(field) for field in _OF_A_TASK)
        key = wish.kind, task_name, wish.name, fields
        found = self._tasks.get(key)
        if found is None:
            found = self._tasks[key] = self._new_task(plan, task_name, wish)
        task, observe = found.task, found.observe
        ask, body = found.body(wish)
        head, rest = self._head(plan, task, wish, body)
        data = b"%b%d%b%b" % (head, len(body), rest, body) if rest else head + body
        if observe is not None:
            self._made += 1
            return Request(task, data, ask.least_output, observer=both(observe(self._made), observer))
        return Request(task, data, ask.least_output, observer=observer)

    def _new_task(self, plan: TaskPlan, task_name: str, wish: Wish) -> "_Named":
        common = {field: value for field in _OF_A_TASK if (value := wish.ask.get(field)) is not None}
        ask = msgspec.structs.replace(plan.ask, **common)
        if wish.body is not None:
            ask = Ask(stream=ask.stream, method=ask.method)
        plan = msgspec.structs.replace(plan, ask=ask, name=f"{task_name}/{wish.name}")
        task = self._build_task(plan, self._number_of(task_name, wish.name))
        return _Named(task, observe_of(plan, task.api))

    def _head(self, plan: TaskPlan, task: Task, wish: Wish, body: bytes) -> tuple[bytes, bytes]:
        key = plan.api, task.api.method, wish.path, bool(body), tuple(wish.headers.items())
        found = self._heads.get(key)
        if found is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            found = self._heads[key] = _encoded_head(plan, task.api, wish, has_body=bool(body))
        return found


class _Named:
    """The requests of one name."""

    __slots__ = ("_api", "_others", "observe", "task")

    def __init__(self, task: Task, observe: Observe | None) -> None:
        self.task = task
        self.observe = observe
        self._api = task.api
        self._others: dict[str, Any] = {}
        """What the last request had of its own, besides its prompt: it is in the `ask` of `_api`, whose body is
        encoded once. Most requests of a name differ in their prompts alone."""

    def body(self, wish: Wish) -> tuple[Ask, bytes]:
        """What the request asks, and its body."""
        if wish.body is not None:
            return self.task.api.ask, wish.body
        others = {field: value for field, value in wish.ask.items() if field not in _NOT_OTHERS}
        if others != self._others:
            ask = self.task.api.ask
            own = {**others, "extra": {**ask.extra, **others["extra"]}} if "extra" in others else others
            self._api, self._others = type(self.task.api)(msgspec.structs.replace(ask, **own)), others
        ask = self._api.ask
        for field in ("prompt", "messages"):
            if field in wish.ask:
                ask = msgspec.structs.replace(ask, **{field: wish.ask[field]})
        return ask, self._api.body(ask)


def _encoded_head(plan: TaskPlan, api: Api, wish: Wish, *, has_body: bool) -> tuple[bytes, bytes]:
    """The head before and after the length of the body."""
    own = {name.lower() for name in wish.headers}
    headers = [(name, value) for name, value in plan.headers if name.lower() not in own]
    for name, value in wish.headers.items():
        if any(sign in f"{name}{value}" for sign in "\r\n\0"):
            raise ValueError(f"header {name!r}: names and values have no line breaks")
        headers.append((name, str(value)))
    url = _url(plan.url, wish.path) if wish.path else plan.url
    if wish.body is not None:
        api = make_api(plan.api, msgspec.structs.replace(api.ask, body="{}" if has_body else None))
    head = head_of(msgspec.structs.replace(plan, url=url, headers=headers), api)
    before, _, after = head.partition(LENGTH.encode())
    return before, after


def _url(base: str, path: str) -> str:
    """The URL of a path on the host of `base`.

    Raises:
        ValueError: it is a URL of another host, or no path.
    """
    split = urlsplit(base)
    origin = f"{split.scheme}://{split.netloc.rpartition('@')[2]}"
    path = path.removeprefix(origin)
    if "://" in path.partition("?")[0]:
        raise ValueError(f"{path}: a scenario asks the host of --url alone, {origin}")
    if any(ord(sign) <= 32 or ord(sign) == 127 for sign in path):
        raise ValueError(f"{path!r}: a path has no spaces; write %20, or use urllib.parse.quote")
    return f"{split.scheme}://{split.netloc}/{path.removeprefix('/')}"
