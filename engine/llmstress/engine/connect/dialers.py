"""The dialers of a worker: one for each origin, which all tasks of this origin share."""

import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from llmstress.engine.connect.dialer import Dialer
from llmstress.engine.control import TaskPlan


class Dialers(contextlib.AsyncExitStack):
    """Closes all its dialers at the end."""

    def __init__(self, make: Callable[[TaskPlan], Dialer]) -> None:
        """make: gives a dialer for the origin of a task."""
        super().__init__()
        self._make = make
        self._dialers: dict[bytes, Dialer] = {}

    async def open(self, task: TaskPlan) -> None:
        """Have a dialer for the origin of this task."""
        key = _origin(task)
        if key not in self._dialers:
            self._dialers[key] = await self.enter_async_context(self._make(task))

    def of(self, task: TaskPlan) -> Dialer:
        """The dialer of a task's origin, which is open."""
        return self._dialers[_origin(task)]


def _origin(task: TaskPlan) -> bytes:
    """Equal for tasks whose requests can use the same connections."""
    url = urlsplit(task.url)
    return msgspec.msgpack.encode((url.scheme, url.netloc, task.network, task.timeouts.connect_s))
