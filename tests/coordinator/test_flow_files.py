"""Flows in a file: what a step has for itself, what it takes over, what is printed, and what is refused."""

from pathlib import Path

import pytest
from helpers.run_files import options

from llmstress.coordinator.commands import cli
from llmstress.engine.control import Think
from llmstress.engine.flows.extraction import Extraction

RUN = """\
url = "http://127.0.0.1:9"
model = "m"
header = ["X-Team: abc"]
max-tokens = 50

[[task]]
name = "rag"
system = "of the task"
"""

FLOW = (
    RUN
    + """
[[task.step]]  # a comment
name = "login"
setup = true
api = "http"
url = "http://127.0.0.1:9/login"
body = '{"user": "{{user}}"}'
extract = ["token = json:token"]

[[task.step]]
name = "chat"
prompt = "{{token}} {{number}}"
header = ["Authorization: Bearer {{token}}"]
[task.step.extra-body]
top_p = 1

[[task.step]]
name = "more"
prompt = "{{chat.answer}}"
think-time = "1s..2s"

[[task]]
name = "other"
"""
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_step_takes_over_what_its_task_and_the_run_have(place: Path) -> None:
    run = options(place, FLOW)
    steps = [(task.name, step.name if step else "", own) for task, step, own in run.each_step]
    assert [(task, step) for task, step, _ in steps] == [
        ("rag", "login"),
        ("rag", "chat"),
        ("rag", "more"),
        ("other", ""),
    ]
    login, chat, more, other = (own for _, _, own in steps)
    assert [own.system for own in (login, chat, more, other)] == ["of the task"] * 3 + [None]
    assert login.headers == ()  # a key must not reach another server
    assert chat.headers == (("Authorization", "Bearer {{token}}"),)
    assert more.headers == other.headers == (("X-Team", "abc"),)
    assert (chat.extra_body, more.extra_body) == ({"top_p": 1}, {})
    first, _, last = run.tasks[0].steps
    assert first.setup
    assert first.extracts == (Extraction("token", "json", "token"),)
    assert last.think == Think(low_ns=10**9, high_ns=2 * 10**9)
    assert run.has_sessions
    assert not run.converses


def test_a_step_without_a_place_for_a_prompt_takes_over_none(place: Path) -> None:
    run = options(place, FLOW.replace("max-tokens = 50", "prompt-tokens = 20\nshared-prefix-tokens = 5"))
    login, chat, more, other = (own.prompt_tokens for *_, own in run.each_step)
    assert login is chat is more is None  # one has no place, and two have a prompt of their own
    assert other is not None


def test_a_printed_flow_is_the_same_flow(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = options(place, FLOW)
    assert cli.run(["config", "--config", "run.toml"]) == 0
    printed = capsys.readouterr().out
    assert "Bearer {{token}}" in printed
    after = options(place, printed)
    assert [step for *_, step in after.each_step] == [step for *_, step in before.each_step]
    for mine, theirs in zip(after.tasks[0].steps, before.tasks[0].steps, strict=True):
        assert (mine.own, mine.setup, mine.extracts, mine.think) == (
            theirs.own,
            theirs.setup,
            theirs.extracts,
            theirs.think,
        )


STEP = '[[task.step]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[task.step]]\nprompt = 'x'\n", "line 9: the step has no name"),
        (STEP + 'promt = "x"\n', "line 11: unknown key 'promt'; did you mean prompt?"),
        (STEP + 'extract = "t = json:t"\n', "line 11: extract: expected an array of strings"),
        (STEP + 'extract = ["t = json:"]\n', "line 11: extract: 't = json:': '' is not a path"),
        (STEP + "setup = 1\n", "line 11: setup: expected true or false"),
        (STEP + "setup = true\n", "line 6: task rag: all steps have setup = true"),
        (STEP + 'duration = "1s"\n', "line 11: duration belongs to the run"),
        (STEP + 'think-time = "1s"\n', "line 9: step a: think-time is the wait after the step before"),
        (STEP + 'extract = ["user = json:t"]\n', "line 9: step a: extract: user has a meaning of its own"),
        (
            STEP + 'extract = ["token = json:t"]\n' + STEP.replace('"a"', '"b"') + '\nprompt = "{{tokem}}"\n',
            "line 15: step b: prompt: no step before it extracts {{tokem}}; did you mean {{token}}?",
        ),
        (
            STEP + "api = 'http'\nbody = '{{promt}}'\n",
            "step a: body: no step before it extracts {{promt}}; did you mean {{prompt}}?",
        ),
        (STEP + 'header = ["X: {{prompt}}"]\n', "line 11: step a: header X: no step before it extracts {{prompt}}"),
        (STEP + 'extract = ["t = json:a", "t = json:b"]\n', "line 9: step a: extract: t is extracted twice"),
        (
            STEP + 'prompt = "{{chat.answr}}"\n',
            "line 9: step a: {{chat.answr}} is no variable: the answer to an earlier",
        ),
        (STEP + STEP, "line 11: step a: two steps of the task rag are called 'a'"),
        (STEP + 'url = "http://{{user}}/"\n', "line 9: step a: url: variables are filled into the path"),
        ("turns = 3\n" + STEP, "line 6: task rag: turns and steps can't be used together"),
        ("step = [{name = 'a'}]\n", "line 9: write each step as a table of its own"),
        ("step = []\n", "line 9: step is empty: begin each step with [[task.step]], or drop it"),
        ("[task.step]\nname = 'a'\n", "line 9: write each step as a table of its own"),
        (
            STEP + 'api = "openai-embeddings"\nextract = ["t = json:t"]\n',
            "task rag, step a: extract t = json:t: the answers of openai-embeddings have no text; use header:NAME",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    text: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "run.toml").write_text(RUN + text)
    assert cli.run(["--config", "run.toml"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_flows_have_no_trace_and_no_rate_in_tokens(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "run.toml").write_text(FLOW)
    assert cli.run(["--config", "run.toml", "--rate", "600k-tokens/m"]) == 2
    assert "the rate is one of flows" in capsys.readouterr().err
    assert cli.run(["--config", "run.toml", "--trace", "no.csv"]) == 2
    assert "a flow can't be used with --trace" in capsys.readouterr().err
    assert cli.run(["probe", "--config", "run.toml"]) == 2
    assert "the task rag is a flow" in capsys.readouterr().err


def test_a_dry_run_shows_each_step_with_the_names_of_what_only_a_server_knows(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "run.toml").write_text(FLOW)
    assert cli.run(["--config", "run.toml", "--dry-run", "--rate", "5/s", "--duration", "4s"]) == 0
    said = capsys.readouterr().out
    assert "task rag: about 10 flows, as they arrive" in said
    assert "task other: about 10 requests, as they arrive" in said
    assert "step login: POST http://127.0.0.1:9/login, once for each user\n" in said
    assert "\n    its answer gives token = json:" in said
    assert said.count("# step ") == 3
    assert '{"user": "1"}' in said
    assert "Authorization: Bearer {{token}}" in said
    assert '"content":"{{token}} 1"' in said
    assert '"content":"{{chat.answer}}"' in said
