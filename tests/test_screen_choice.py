"""Whether a run gets a screen."""

import pytest

from llmstress.coordinator.errors import UsageError
from llmstress.coordinator.options import Options
from llmstress.coordinator.screen import wanted

TERMINAL = {"TERM": "xterm-256color"}


def options(**given: bool) -> Options:
    return Options(procs=1, prompt="p", **given)


@pytest.mark.parametrize(
    ("given", "environ", "terminal", "foreground", "expected"),
    [
        ({}, TERMINAL, True, True, True),
        ({"headless": True}, TERMINAL, True, True, False),
        ({}, TERMINAL, False, True, False),
        ({}, TERMINAL, True, False, False),
        ({}, {"TERM": "dumb"}, True, True, False),
        ({}, {}, True, True, False),
        ({}, {**TERMINAL, "CI": "true"}, True, True, False),
        ({}, {**TERMINAL, "CI": "1"}, True, True, False),
        ({}, {**TERMINAL, "CI": "false"}, True, True, True),
        ({}, {**TERMINAL, "NO_COLOR": "1"}, True, True, True),
        ({"tui": True}, {"TERM": "dumb", "CI": "true"}, True, True, True),
    ],
)
def test_a_screen_opens_on_a_terminal_and_nowhere_else(
    given: dict[str, bool], environ: dict[str, str], terminal: bool, foreground: bool, expected: bool
) -> None:
    assert wanted(options(**given), environ, terminal=terminal, foreground=foreground) is expected


def test_a_screen_can_t_be_forced_where_there_is_no_terminal() -> None:
    with pytest.raises(UsageError, match="--tui needs a terminal"):
        wanted(options(tui=True), TERMINAL, terminal=False, foreground=True)


def test_both_at_once_is_refused() -> None:
    with pytest.raises(UsageError, match="--headless and --tui contradict"):
        options(tui=True, headless=True)
