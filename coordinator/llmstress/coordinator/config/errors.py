"""What a user is told when a run can't be: one sentence and an exit code."""

import enum


class ExitCode(enum.IntEnum):
    """What the exit code of `llmstress` says."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NOT_STARTED = 3
    INCOMPLETE = 4
    NO_SUCCESS = 5
    TOO_MANY_ERRORS = 6
    SIGINT = 130
    SIGTERM = 143


class LlmstressError(Exception):
    """Ends the command with its text on stderr and its exit code."""

    exit_code = ExitCode.INTERNAL


class UsageError(LlmstressError):
    """The options are wrong; the text names the flag to change."""

    exit_code = ExitCode.USAGE


class CouldNotStart(LlmstressError):
    """The options are right, but the run can't be started here and now."""

    exit_code = ExitCode.NOT_STARTED
