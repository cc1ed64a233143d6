"""What is said when a run has the prompts of the last one."""

from pathlib import Path
from typing import Any

import pytest

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prompt_options import DEFAULT_PROMPT
from llmstress.coordinator.prompts.prepared import prepare
from llmstress.coordinator.run.repeated import KEPT, MOST_TARGETS, digest_of, warning_of_repeated
from llmstress.engine.prompts.lengths import Lengths


def options(**given: Any) -> Options:
    return Options(**{"prompt": DEFAULT_PROMPT, "procs": 1, "streams": 1, **given})


def digest(directory: Path, **given: Any) -> str:
    asked = options(**given)
    return digest_of(asked, prepare([("", asked)], {}, directory / "otherwise"))


def test_equal_prompts_have_one_digest(tmp_path: Path) -> None:
    path, made = tmp_path / "prompts", tmp_path / "made"
    path.write_text("one\ntwo\n")
    made.write_text('{"input_length": 5}\n')
    file = {"prompts": str(path)}
    plain = digest(tmp_path, **file)
    assert plain
    assert plain == digest(tmp_path, **file, seed=5, max_tokens=9), "the seed does not change the order"
    shuffled = digest(tmp_path, **file, order="shuffled")
    assert len({plain, shuffled, digest(tmp_path, **file, order="shuffled", seed=5)}) == 3
    assert digest(tmp_path, **file, salt=True) == digest(tmp_path, prompts=str(made)) == ""
    assert digest(tmp_path) == digest(tmp_path, prompt_tokens=Lengths("fixed", 5)) == ""
    path.write_text("one\ntwo\nthree\n")
    assert digest(tmp_path, **file) != plain


def test_a_run_with_the_prompts_of_the_last_one_says_so(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}

    def said(url: str, digest: str, now: str) -> str:
        return warning_of_repeated(url, digest, now, environ)

    assert said("a", "x", "1") == said("b", "x", "2") == said("a", "", "3") == ""
    assert "those of the run at 1, so a server that keeps prefixes" in said("a", "x", "4")
    assert "those of the run at 4" in said("a", "x", "5")
    assert said("a", "y", "6") == said("a", "x", "7") == ""
    for number in range(MOST_TARGETS):
        said(str(number), "x", "8")
    assert said("a", "x", "9") == "", "forgotten"


@pytest.mark.parametrize("environ", [{}, {"XDG_STATE_HOME": "/dev/null"}])
def test_without_a_place_for_state_nothing_is_said(environ: dict[str, str]) -> None:
    assert warning_of_repeated("a", "x", "1", environ) == warning_of_repeated("a", "x", "2", environ) == ""


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    warning_of_repeated("a", "x", "1", environ)
    (tmp_path / "llmstress" / KEPT).write_text("{")
    assert warning_of_repeated("a", "x", "2", environ) == ""
    assert warning_of_repeated("a", "x", "3", environ)
