"""What a stream needs from its surroundings."""

from collections.abc import Callable
from typing import Any, Protocol

from llmstress.engine.outcome import End
from llmstress.engine.stream.observer import Timer
from llmstress.engine.stream.recorder import Recorder


class Runtime(Protocol):
    """What a stream needs from its surroundings."""

    clock: Callable[[], int]
    recorder: Recorder

    def redial(self, stream: Any) -> None:
        """Open another connection for the stream, whose request is to be sent again: `connected` or `not_connected`
        follows."""

    def retry(self, stream: Any, at: int) -> None:
        """Call `resume` at stamp `at`."""

    def call_at(self, at: int, act: Callable[[int], None]) -> Timer:
        """As `Stream.call_at`."""

    def free(self, stream: Any, exchange: Any, end: End, *, fatal: bool, now: int) -> None:
        """The stream has ended a request with `end` at stamp `now`; `exchange`: its last attempt; `fatal`: its failure
        may end the run."""
