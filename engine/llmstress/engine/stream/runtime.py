"""What a stream needs from its surroundings."""

from collections.abc import Callable
from typing import Any, Protocol

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

    def free(self, stream: Any, *, failed: bool, fatal: bool, now: int) -> None:
        """The stream has ended a request at stamp `now`. `failed`: a pause is to follow; `fatal`: the failure may end
        the run."""
