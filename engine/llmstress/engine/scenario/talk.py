"""Conversations of a user: the history is kept."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from llmstress.engine.scenario.answer import Answer
from llmstress.engine.scenario.asking import Asking

Message = Mapping[str, Any]
"""`role` and `content`, as the API has them."""


class Conversation:
    """Each text takes along what was said before: the texts of the user, and the answers as far as they came.

    A text whose request failed is taken out of the history again.
    """

    __slots__ = ("_chat", "_last", "_options", "_system", "messages")

    def __init__(self, chat: Callable[..., Asking], system: str | None, options: dict[str, Any]) -> None:
        self._chat = chat
        self._system = system
        self._options = options
        self._last: Asking | None = None
        self.messages: list[Message] = []
        """The history up to the last text; the answer to it is added with the next one."""

    async def __aenter__(self) -> "Conversation":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to close: each request has ended, or was left."""

    async def say(self, text: str, **options: Any) -> Answer:
        """Say a text, and wait for the whole answer. `options`: as for `User.chat`."""
        return await self.stream(text, **options)

    def stream(self, text: str, **options: Any) -> Asking:
        """Say a text; to be awaited, or iterated over. `options`: as for `User.chat`.

        Raises:
            RuntimeError: the answer to the last text is not over.
        """
        self._settle()
        messages = [*self.messages, {"role": "user", "content": text}]
        self._last = self._chat(messages, **{"system": self._system, **self._options, **options})
        self.messages = [*messages]
        return self._last

    def _settle(self) -> None:
        last, self._last = self._last, None
        if last is None:
            return
        if last.result is None and not last.left:
            self._last = last
            raise RuntimeError("the last text of this conversation has no answer yet: await it first")
        if last.result is not None and last.result.ok and (said := last.result.text):
            self.messages.append({"role": "assistant", "content": said})
        else:
            self.messages.pop()
