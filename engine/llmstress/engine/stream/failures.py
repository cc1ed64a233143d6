"""What becomes of an attempt that has failed: a sample is kept, and perhaps the request is sent again."""

import time
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from llmstress.engine.http import retry_after
from llmstress.engine.http.body import request_id
from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.secrets import blank_out
from llmstress.engine.stream.failure_policy import END, END_FIRST, Statuses
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.telemetry.messages import ErrorSample

MAX_TEXT, MAX_REQUEST_ID = 200, 100
"""Characters of a sample."""


class Attempt(Protocol):
    """What is looked at of an attempt that has failed."""

    attempt: int
    """How many attempts have failed before it."""
    first_token: int
    """Stamp; 0: none has come."""


class Sequel(msgspec.Struct, frozen=True):
    """What follows."""

    again_ns: int | None
    """How long to wait before the request is sent again; None: it has failed."""
    grave: bool
    """The failure may end the run."""


ENDED = Sequel(None, grave=False)
"""Nothing follows."""


class Failures:
    """Judges the failed attempts of one load."""

    def __init__(
        self,
        retries: int,
        statuses: Statuses,
        secrets: Collection[str],
        recorder: Recorder,
        uniform: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`retries`: how often a request may be sent again. `uniform`: random numbers in [0, 1)."""
        self._retries = retries
        self._statuses = statuses
        self._secrets = secrets
        self._recorder = recorder
        self._uniform = uniform
        self._wall = wall

    def judge(self, attempt: Attempt, end: End, head: Head | None) -> Sequel:
        """An attempt has failed with `end`, after this head if there was one: keep a sample, and say what follows."""
        status = head.status if head is not None else 0
        sample = ErrorSample(
            error=end.outcome,
            status=status,
            text=self.clean(end.text)[:MAX_TEXT],
            request_id=self.clean(request_id(head))[:MAX_REQUEST_ID] if head is not None else "",
            headers=self.clean(retry_after.words(head.headers)) if head is not None else "",
        )
        self._recorder.sample(sample)
        again_ns = self._wait_ns(attempt, end, head)
        meaning = self._statuses.meaning(status, end.outcome)
        grave = again_ns is None and (meaning == END or (meaning == END_FIRST and not self._recorder.answered))
        if grave:
            self._recorder.grave(meaning, sample)
        return Sequel(again_ns, grave)

    def _wait_ns(self, attempt: Attempt, end: End, head: Head | None) -> int | None:
        """The wait before another attempt; None: there is to be none. After a token there never is: what has been
        shown, and paid for, can't be taken back."""
        if attempt.attempt >= self._retries or attempt.first_token:
            return None
        headers = head.headers if head is not None else {}
        status = head.status if head is not None else 0
        if not self._statuses.is_retryable(status, end.outcome, retry_after.advice(headers)):
            return None
        asked = retry_after.asked_s(headers, end.text, self._wall(), throttled=end.outcome == "rate_limited") or 0.0
        return int((asked + retry_after.backoff_s(attempt.attempt, self._uniform())) * 1e9)

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        return blank_out(text, self._secrets)
