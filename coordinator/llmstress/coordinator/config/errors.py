"""The exit codes, and the errors that end the command with one sentence and an exit code."""

import contextlib
import enum
from collections.abc import Iterator
from typing import Self


class ExitCode(enum.IntEnum):
    """The exit codes of `llmstress`; docs/metrics.md lists them."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """A member is its number; `meaning` explains it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = (
        0,
        "the run ended as planned, even if single requests failed; also after `--max-total-tokens` or "
        "`--max-cost` (see `ended_by`); "
        "`find` has found a capacity, or that it is at least so high",
    )
    INTERNAL = 1, "internal error"
    USAGE = 2, "wrong usage; one sentence names the flag"
    NOT_STARTED = (
        3,
        "could not start: no connection, refused key, too few files, ports, memory or threads, or a worker that died "
        "at once",
    )
    INCOMPLETE = 4, "incomplete: a worker, or one of its reports, was lost; the summary says what is missing"
    NO_SUCCESS = 5, "no request succeeded; for `probe`: its request failed"
    TOO_MANY_ERRORS = (
        6,
        "more requests failed than `--max-errors` allows, whatever ended the run; or a failure ended it "
        "(`--on-status ...=end`) after others had succeeded",
    )
    UNDECIDED = (
        97,
        "there were not enough data to decide a threshold of `--fail-if` or `--abort-if`; with `--undecided pass` the "
        "code is 0; or `find` could not decide the capacity within its budget",
    )
    VERDICT = 98, "the verdict is one that `--fail-if verdict=...` or `--abort-if verdict=...` excludes"
    THRESHOLD = 99, "a threshold of `--fail-if` or `--abort-if` was crossed; or `find`: even the lowest load fails"
    SIGINT = 130, "ended by SIGINT, or at once from the screen (`Q`; its `q` is 0)"
    SIGTERM = 143, "ended by SIGTERM, or because the terminal was closed"


class LlmstressError(Exception):
    """Ends the command: its text goes to stderr, and the command exits with `exit_code`."""

    exit_code = ExitCode.INTERNAL


class UsageError(LlmstressError):
    """The options are wrong; the text names the flag to change."""

    exit_code = ExitCode.USAGE


class CouldNotStart(LlmstressError):
    """The options are right, but the run can't be started here and now."""

    exit_code = ExitCode.NOT_STARTED


@contextlib.contextmanager
def naming(task: str) -> Iterator[None]:
    """An error within begins with the name of the task, if it has one."""
    try:
        yield
    except LlmstressError as error:
        if task:
            error.args = (f"task {task}: {error}",)
        raise
