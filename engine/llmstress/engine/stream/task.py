"""A task: one kind of request, with everything that its requests share; and one request of it."""

from collections.abc import Callable
from typing import NamedTuple

from llmstress.engine.api.base import Api
from llmstress.engine.control import Timeouts
from llmstress.engine.outcome import End
from llmstress.engine.stream.failures import Failures
from llmstress.engine.stream.fast_path import shape_of
from llmstress.engine.stream.linger import Linger
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.observer import Observer
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.telemetry.bands import Bounds
from llmstress.engine.telemetry.slo import NOT_JUDGED, Objectives


class Task:
    """One kind of request. It is made once for a run, and its requests and their answers are read by its rules."""

    __slots__ = (
        "api",
        "bodiless",
        "correct",
        "dials",
        "failures",
        "id",
        "linger",
        "name",
        "reading",
        "recorder",
        "request",
        "requests_per_connection",
        "require_finish",
        "samples",
        "shape",
        "timeouts",
    )

    def __init__(
        self,
        *,
        id: int = 0,
        name: str = "",
        api: Api,
        requests: "Source",
        dials: Dials,
        failures: Failures,
        recorder: Recorder,
        timeouts: Timeouts,
        requests_per_connection: int = 0,
        require_finish: bool = False,
        objectives: Objectives = NOT_JUDGED,
        bands: Bounds | None = None,
        correct: Callable[[int, float], int] | None = None,
    ) -> None:
        """
        id: its number within the run, from 0. name: empty if it is the only one. requests: where its
        requests come from. dials: opens connections to its origin. failures: says what follows a failed attempt.
        requests_per_connection: after so many a connection is closed; 0: it is kept as long as the server keeps it.
        require_finish: an answer that ends without a finish reason is truncated. objectives: what its requests are
        judged by. bands: where long prompts and answers begin; None: requests are not told apart by their tokens.
        correct: changes the words per token of its prompts, as `Maker.correct`; None: its prompts are not made.
        """
        self.id = id
        self.name = name
        self.api = api
        self.bodiless = api.method == "HEAD"
        """Its answers have no body, whatever their heads say."""
        self.correct = correct
        self.dials = dials
        self.failures = failures
        self.recorder = recorder
        self.samples = recorder.samples(id)
        """Collects what its requests measure."""
        self.samples.objectives = objectives if objectives.given else None
        self.samples.bands = bands
        self.timeouts = timeouts
        self.requests_per_connection = requests_per_connection
        self.require_finish = require_finish
        self.linger = Linger()
        self.shape = shape_of(api)
        shape = self.shape
        self.reading = self, shape.prefixes, shape.end, shape.tail, shape.lines, api.classify, self.samples.gaps.append
        """What the read loop takes from a task, in one piece: most reads in a row are of the same task."""
        self.request = requests(self)
        """Gives the request of a number, to be begun by a stream."""


class Request(NamedTuple):
    """What a stream sends when it begins this request, and again on every later attempt."""

    task: Task
    data: bytes
    """Head and body."""
    least_output: int = 0
    """Tokens that each choice of the answer is asked to have, at least; 0: no minimum."""
    asked_input: int = 0
    """Tokens that its prompt was made to have; 0: it was not made."""
    asked_output: int = 0
    """Tokens that each choice of the answer should have, by a length that is the request's own; 0: there is none."""
    observer: Observer | None = None
    """Is told what becomes of the request."""
    fault: End | None = None
    """It could not be made: it ends so, and is not sent."""
    secrets: tuple[str, ...] = ()
    """Secrets that servers have given to its user, such as tokens: error samples must not have them."""
    made_words: int = 0
    """Words of its prompt, if it was made of common words; else 0."""


Source = Callable[[Task], Callable[[int], Request]]
"""Where a task's requests come from: given the task, the function that gives the request of a number.

The requests of a run are numbered from 0. Worker w of n has the numbers w, w + n, w + 2n, ..., and takes them in this
order (`Mix`)."""


def fixed(data: bytes, least_output: int = 0) -> Source:
    """The same request again and again. `least_output`: see `Request`."""

    def requests(task: Task) -> Callable[[int], Request]:
        request = Request(task, data, least_output)
        return lambda _: request

    return requests
