"""The tasks of a user class: which methods they are, and how often each of them is done."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar, overload

_MARK = "__llmstress_task__"

HEAVIEST = 10_000

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


class Marked(NamedTuple):
    """A method that is a task."""

    name: str
    weight: int
    method: Callable[..., Awaitable[Any]]


@overload
def task(weight: Method) -> Method: ...


@overload
def task(weight: int = 1) -> Callable[[Method], Method]: ...


def task(weight: Any = 1) -> Any:
    """Mark an async method as a task: `@task` or `@task(3)`.

    weight: how often it is done, against the other tasks of the class.

    Raises:
        TypeError: the method is not async.
        ValueError: the weight is no whole number from 1 to 10,000.
    """
    if not callable(weight):
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= HEAVIEST:
            raise ValueError(f"@task({weight!r}): expected a whole number from 1 to {HEAVIEST:,}, like @task(3)")
        return lambda method: _marked(method, weight)
    return _marked(weight, 1)


def _marked(method: Method, weight: int) -> Method:
    is_async: bool = inspect.iscoroutinefunction(method)
    if not is_async:
        raise TypeError(f"@task: {getattr(method, '__qualname__', method)} must be `async def`")
    setattr(method, _MARK, weight)
    return method


def tasks_of(cls: type) -> list[Marked]:
    """The tasks of a user class and of its bases, in the order of the file; a method that a class overrides without
    `@task` is none."""
    found: dict[str, Marked | None] = {}
    for base in reversed(cls.__mro__):
        for name, method in vars(base).items():
            weight = getattr(method, _MARK, None)
            if weight is not None:
                found[name] = Marked(name, weight, method)
            elif name in found:
                found[name] = None
    return [each for each in found.values() if each is not None]
