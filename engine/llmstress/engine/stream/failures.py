"""What follows a failed attempt: a sample is kept; the request is sent again, fails, or ends the run."""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

import msgspec

from llmstress.engine.http import retry_after
from llmstress.engine.http.body import request_id
from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.secrets import forms_of, redact
from llmstress.engine.stream.failure_policy import END, END_FIRST, FailurePolicy
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.telemetry.messages import ErrorSample

MAX_TEXT, MAX_REQUEST_ID = 200, 100
"""Characters of a sample."""


class Attempt(Protocol):
    """The part of a failed attempt that decides what follows."""

    attempt: int
    """How many attempts of the request failed before this one."""
    first_token: int
    """Stamp; 0: none has come."""


class Sequel(msgspec.Struct, frozen=True):
    """What follows an attempt."""

    again_ns: int | None
    """Wait before the request is sent again (ns); None: the request has ended."""
    fatal: bool
    """The failure may end the run."""


ENDED = Sequel(None, fatal=False)
"""The request has ended, and the run goes on."""


class Failures:
    """Decides what follows the failed attempts of a task, and keeps samples of them."""

    def __init__(
        self,
        retries: int,
        policy: FailurePolicy,
        secrets: Collection[str],
        recorder: Recorder,
        uniform: Callable[[], float],
        wall: Callable[[], float] = time.time,
        name: str = "",
    ) -> None:
        """`retries`: how often a request may be sent again. `uniform`: random numbers in [0, 1). `name`: of the task;
        its samples are kept apart from those of the task without a name."""
        self._prefix = f"{name} " if name else ""
        self._retries = retries
        self._policy = policy
        self._secrets = secrets
        self._recorder = recorder
        self._uniform = uniform
        self._wall = wall

    def judge(self, attempt: Attempt, end: End, head: Head | None, secrets: Iterable[str] = ()) -> Sequel:
        """Keep a sample of an attempt that failed with `end`, and decide what follows. `head`: None if none came.
        `secrets`: of this request alone; their other forms are looked for, too."""
        known = self._with(secrets)
        status = head.status if head is not None else 0
        sample = ErrorSample(
            error=f"{self._prefix}{end.outcome}",
            status=status,
            text=redact(end.text, known)[:MAX_TEXT],
            request_id=redact(request_id(head), known)[:MAX_REQUEST_ID] if head is not None else "",
            headers=redact(retry_after.retry_headers(head.headers), known) if head is not None else "",
        )
        self._recorder.keep_error_sample(sample)
        again_ns = self._wait_ns(attempt, end, head)
        action = self._policy.action(status, end.outcome)
        fatal = again_ns is None and (action == END or (action == END_FIRST and not self._recorder.answered))
        if fatal:
            self._recorder.fatal(action, sample)
        return Sequel(again_ns, fatal)

    def note(self, end: End, secrets: Iterable[str] = ()) -> None:
        """Keep a sample of a failure that ends no attempt. `secrets`: as for `judge`."""
        text = redact(end.text, self._with(secrets))[:MAX_TEXT]
        self._recorder.keep_error_sample(ErrorSample(f"{self._prefix}{end.outcome}", 0, text, ""))

    def _with(self, secrets: Iterable[str]) -> Collection[str]:
        return [*self._secrets, *(form for secret in secrets for form in forms_of(secret))]

    def _wait_ns(self, attempt: Attempt, end: End, head: Head | None) -> int | None:
        """The wait before another attempt (ns); None: there is none. After a token there never is one: a user has seen
        it, and it was paid for."""
        if attempt.attempt >= self._retries or attempt.first_token:
            return None
        headers = head.headers if head is not None else {}
        status = head.status if head is not None else 0
        if not self._policy.is_retryable(status, end.outcome, retry_after.should_retry(headers)):
            return None
        throttled = end.outcome == "rate_limited"
        requested = retry_after.requested_wait_s(headers, end.text, self._wall(), throttled=throttled) or 0.0
        return int((requested + retry_after.backoff_s(attempt.attempt, self._uniform())) * 1e9)

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        return redact(text, self._secrets)
