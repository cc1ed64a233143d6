"""When the code of users goes on: a few users in each turn of the loop, so that the stamps of reads stay true."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

USERS_PER_TURN = 16
"""Users whose code goes on in one turn: what they do until they wait again takes about 60 µs each, so reads that arrive
meanwhile are stamped within a millisecond."""

TURNS_TO_CHECK = 4
"""Turns of the loop after which code that was resumed has looked at its answer: it may have been resumed through a
task, a gather and a timeout, each of which takes a turn."""


class Waits(Protocol):
    """Whose code goes on."""

    @property
    def has_answers(self) -> bool:
        """Answers wait to be counted."""

    def release(self) -> None:
        """The code has had its turns: count them."""


class Turns:
    """The queue of users whose code may go on."""

    __slots__ = ("_loop", "_ready", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[tuple[asyncio.Future[None], Waits]] = deque()
        self._woken = False

    def resume(self, future: "asyncio.Future[None]", whose: Waits) -> None:
        """Let the code go on that waits for this future."""
        self._ready.append((future, whose))
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        ready, resumed = self._ready, list[Waits]()
        for _ in range(min(USERS_PER_TURN, len(ready))):
            future, whose = ready.popleft()
            if not future.done():
                future.set_result(None)
            if whose.has_answers:
                resumed.append(whose)
        if resumed:
            self._loop.call_soon(self._settle, resumed, TURNS_TO_CHECK)
        self._woken = bool(ready)
        if self._woken:
            self._loop.call_soon(self._turn)

    def _settle(self, resumed: Sequence[Waits], turns: int) -> None:
        if turns:
            self._loop.call_soon(self._settle, resumed, turns - 1)
            return
        for whose in resumed:
            whose.release()
