"""Whether a run gets a screen."""

from typing import Any

import pytest

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.processes.screen_process import wanted

TERMINAL = {"TERM": "xterm-256color"}


def options(**given: Any) -> Options:
    return Options(procs=1, prompt="p", **given)


@pytest.mark.parametrize(
    ("given", "environ", "terminal", "piped", "foreground", "expected"),
    [
        ({}, TERMINAL, True, False, True, True),
        ({"headless": True}, TERMINAL, True, False, True, False),
        ({}, TERMINAL, False, False, True, False),
        ({}, TERMINAL, True, True, True, False),
        ({}, TERMINAL, True, False, False, False),
        ({}, {"TERM": "dumb"}, True, False, True, False),
        ({}, {}, True, False, True, False),
        ({}, {**TERMINAL, "CI": "true"}, True, False, True, False),
        ({}, {**TERMINAL, "CI": "1"}, True, False, True, False),
        ({}, {**TERMINAL, "CI": "false"}, True, False, True, True),
        ({}, {**TERMINAL, "NO_COLOR": "1"}, True, False, True, True),
        ({"tui": True}, {"TERM": "dumb", "CI": "true"}, True, True, True, True),
    ],
)
def test_a_screen_opens_on_a_terminal_and_nowhere_else(
    given: dict[str, bool], environ: dict[str, str], terminal: bool, piped: bool, foreground: bool, expected: bool
) -> None:
    assert wanted(options(**given), environ, terminal=terminal, piped=piped, foreground=foreground) is expected


def test_a_screen_can_t_be_forced_where_there_is_no_terminal() -> None:
    with pytest.raises(UsageError, match="--tui needs a terminal"):
        wanted(options(tui=True), TERMINAL, terminal=False, piped=False, foreground=True)


def test_both_at_once_is_refused() -> None:
    with pytest.raises(UsageError, match="--headless and --tui can't be used together"):
        options(tui=True, headless=True)
