"""Tasks in a file: what each has for itself, what it takes over from the run, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from helpers.run_files import options, refused

from llmstress.coordinator.commands import cli
from llmstress.coordinator.commands.configurable import settings_of
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prompt_options import DEFAULT_PROMPT
from llmstress.coordinator.config.shown_options import describe
from llmstress.coordinator.config.tasks import OF_A_TASK, OF_AN_ORIGIN, RIVALS
from llmstress.coordinator.target.api_choice import check_apis, tasks_of

MIX = """\
url = "http://127.0.0.1:9"
model = "m"
max-tokens = 50
prompt = "of the run"
header = ["X-Team: abc"]
slo = ["e2e<9s"]

[[task]]  # a comment with [[task]]
name = "chat"
weight = 7
prompt-tokens = "uniform:100..200"
slo = ["ttft<1s"]

[[task]]

name = "embed"
weight = 3
api = "openai-embeddings"
batch = 2
[task.extra-body]
dimensions = 5

[[task]]
name = 'other'
url = "http://127.0.0.1:10"
output-tokens = 5
stream = false
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_field_of_a_task_is_an_option_with_a_flag() -> None:
    flags = {setting.field for setting in settings_of(cli.cli)}
    assert flags >= OF_A_TASK
    assert {*Options.__struct_fields__} >= OF_A_TASK >= {*OF_AN_ORIGIN, *RIVALS}
    assert all(rival in OF_A_TASK for rivals in RIVALS.values() for rival in rivals)


def test_a_task_has_its_own_values_and_takes_over_the_others(place: Path) -> None:
    run = options(place, MIX)
    assert [(task.name, task.weight, task.origin) for task in run.tasks] == [
        ("chat", 7, "run.toml, line 8"),
        ("embed", 3, "run.toml, line 14"),
        ("other", 1, "run.toml, line 23"),
    ]
    chat, embed, other = (own for _, own in run.each_task)
    assert (chat.model, chat.max_tokens, str(chat.prompt_tokens)) == ("m", 50, "uniform:100..200")
    assert chat.prompt == DEFAULT_PROMPT, "made prompts replace the run's"
    assert [slo.text for slo in chat.objectives.slos] == ["ttft<1s"]
    assert (embed.api, embed.prompt, embed.batch, embed.extra_body) == (
        "openai-embeddings", "of the run", 2, {"dimensions": 5}
    )  # fmt: skip
    assert [slo.text for slo in embed.objectives.slos] == ["e2e<9s"]
    assert (other.url, other.stream, other.max_tokens, str(other.output_tokens)) == (
        "http://127.0.0.1:10", False, None, "5"
    )  # fmt: skip
    assert [slo.text for slo in run.objectives.slos] == ["ttft<1s", "e2e<9s"]


def test_a_key_goes_to_no_other_server_than_the_one_that_it_was_given_for(place: Path) -> None:
    chat, embed, other = (own for _, own in options(place, MIX).each_task)
    assert chat.headers == embed.headers == (("X-Team", "abc"),)
    assert other.headers == ()
    with_own = MIX + 'header = ["X-Team: other"]\n'
    assert options(place, with_own).each_task[2][1].headers == (("X-Team", "other"),)


def test_a_flag_changes_what_tasks_take_over(place: Path) -> None:
    chat, _, other = (own for _, own in options(place, MIX, "--max-tokens", "9", "--model", "n").each_task)
    assert (chat.max_tokens, other.max_tokens, chat.model) == (9, None, "n")


def test_what_an_api_does_not_support_is_not_taken_over(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = options(place, MIX)
    check_apis(run)
    assert [own.max_tokens for _, _, own in tasks_of(run)] == [50, None, None]
    alone = "url = 'http://127.0.0.1:9'\nmodel = 'm'\napi = 'openai-embeddings'\nmax-tokens = 5\n"
    assert "--max-tokens isn't supported" in refused(capsys, place, alone), "it was given for this request"


def test_a_run_without_tasks_is_one_task(place: Path) -> None:
    run = options(place, "model = 'm'")
    [(task, own)] = run.each_task
    assert (task.name, task.weight) == ("", 1)
    assert own is run


def test_a_printed_mix_is_the_same_mix(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = options(place, MIX)
    assert cli.run(["config", "--config", "run.toml"]) == 0
    printed = capsys.readouterr().out
    assert "[[task]]  # run.toml, line 8\nname" in printed
    again = options(place, printed)
    assert [(task.name, task.weight, task.own) for task in again.tasks] == [
        (task.name, task.weight, task.own) for task in asked.tasks
    ]


def test_a_summary_has_the_tasks_without_their_secrets(place: Path) -> None:
    text = MIX + 'header = ["Authorization: Bearer sk-very-secret-indeed"]\n'
    shown: list[dict[str, Any]] = describe(options(place, text))["tasks"]
    assert [task["name"] for task in shown] == ["chat", "embed", "other"]
    assert shown[2]["headers"] == ["Authorization: ***"]
    assert "sk-very" not in str(describe(options(place, text)))


NAMED = "[[task]]\nname = 'a'\n"

WRONG = [
    ("[[task]]\nweight = 2", "run.toml, line 1: the task has no name: write name ="),
    ("[[task]]\nname = 5", "run.toml, line 2: name: expected at most 40 letters"),
    ("[[task]]\nname = 'two words'", "run.toml, line 2: name: expected at most 40 letters"),
    ("[[task]]\nname = 'ttft'", "run.toml, line 1: 'ttft' can't be the name of a task: it is a figure of the run"),
    ("[[task]]\nname = 'bystander'", "run.toml, line 1: a task can't be called 'bystander': that is what --bystander"),
    (NAMED + NAMED, "run.toml, line 3: two tasks are called 'a'"),
    (NAMED + "weight = 0", "run.toml, line 3: weight: expected a whole number from 1 to 10,000"),
    (NAMED + "weight = 0.7", "run.toml, line 3: weight: expected a whole number from 1 to 10,000, like 3; for 70 %"),
    (NAMED + "wieght = 2", "run.toml, line 3: unknown key 'wieght'; did you mean weight?"),
    (NAMED + "max-token = 2", "run.toml, line 3: unknown key 'max-token'; did you mean max-tokens?"),
    (NAMED + "duration = '5s'", "run.toml, line 3: duration belongs to the run and not to a task: write it above"),
    (NAMED + "max-tokens = '5'", "run.toml, line 3: max-tokens: expected an integer, not a string"),
    (NAMED + "prompt-tokens = 'many'", "run.toml, line 3: Invalid value for '--prompt-tokens': 'many' is not a number"),
    (NAMED + "timeout-idle = '5'", "run.toml, line 3: --timeout-idle needs a unit, e.g. 5s"),
    (NAMED + "max-tokens = 0", "run.toml, line 1: task a: --max-tokens must be at least 1, not 0"),
    (NAMED + "stream = false\nslo = ['ttft<1s']", "run.toml, line 1: task a: --slo ttft<1s needs answers that are"),
    ("[task]\nname = 'a'", "run.toml, line 1: a task is a table of its own: begin it with [[task]]"),
    ("task = [{name = 'a'}]", "run.toml, line 1: write each task as a table of its own: begin it with [[task]]"),
    ("task = 3", "run.toml, line 1: a task is a table of its own: begin it with [[task]]"),
    (NAMED + "[other]\nb = 1", "run.toml, line 3: unknown table 'other'"),
    (NAMED + "url = 'http://h:1'\n[[task]]\nname = 'b'", "the task b has no target, and others have one"),
    (NAMED + "url = 'h:1'", "task a: --url needs a URL like http://localhost:8000, not 'h:1'"),
    ("max-tokens = 5\n" + NAMED + "max-tokens = -5", "not -5; max-tokens comes from run.toml, line 4"),
    (
        "url = 'http://h:1'\n" + NAMED + "url = 'h:1'",
        "not 'h:1'; did you mean http://h:1?; url comes from run.toml, line 4",
    ),
    (
        NAMED + "extract = ['x = json:y']",
        "run.toml, line 3: extract belongs to a step of a flow: write it below [[task",
    ),
    (NAMED + "[[task.step]]\nname = 's'\nturns = '3'", "run.toml, line 5: turns is for conversations, and a flow has"),
    (NAMED + "[[task.step]]\nname = 's'\nweight = 3", "run.toml, line 5: weight belongs to the task and not to a step"),
    ("weight = 3", "run.toml, line 1: weight belongs to a task or a step: write it below [[task]]"),
    ("[[step]]\nname = 's'", "run.toml, line 1: a step belongs to a task: write [[task.step]], below its [[task]]"),
    (
        NAMED + "prompts = 'nope'",
        "task a: --prompts nope: it can't be read (No such file or directory); prompts comes from ",
    ),
    (NAMED + "prompt-tokens = 5\ntoken-ids = true", "task a: --token-ids isn't supported by openai-chat"),
    (
        "check = ['json-schema:nope']",
        "nope can't be read: No such file or directory; check comes from run.toml, line 1",
    ),
    (NAMED + "api = 'openai-embeddings'\nsystem = 's'", "task a: --system isn't supported by openai-embeddings"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_a_mistake_in_a_task_is_told_with_its_place(
    capsys: pytest.CaptureFixture[str], place: Path, text: str, words: str
) -> None:
    assert words in refused(capsys, place, text)


def test_a_probe_names_the_tasks_that_there_are(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "run.toml").write_text(MIX)
    assert cli.run(["probe", "--config", "run.toml", "--task", "chta"]) == 2
    assert "--task chta: there is no such task; there are chat, embed, other" in capsys.readouterr().err


def test_a_threshold_names_a_task(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    [judged] = options(place, MIX, "--fail-if", "chat.ttft.p99>800ms").fail_if
    assert (judged.task, judged.subject, judged.argument) == ("chat", "ttft", "p99")
    said = refused(capsys, place, MIX, "--fail-if", "chta.ttft.p99>800ms")
    assert said == (
        "--fail-if chta.ttft.p99>800ms: there is no task 'chta'; did you mean chat? There are chat, embed, other"
    )
    assert "the run has none ([[task]] in a file)" in refused(capsys, place, "", "--fail-if", "chat.ttft.p99>800ms")
    assert "a verdict is about the run" in refused(capsys, place, MIX, "--fail-if", "chat.verdict=invalid")


STEPS = """
url = "http://127.0.0.1:9"
[[task]]
name = "chat"
turns = 3
[[task]]
name = "single"
[[task]]
name = "rag"
[[task.step]]
name = "search"
[[task.step]]
name = "ask"
"""


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        (
            "rag/serach.e2e.p95>300ms",
            "the task rag has no step 'serach'; did you mean rag/search? There are rag/search,",
        ),
        ("chat/turn-8.ttft.p99>2s", "the task chat has no turn 'turn-8'; did you mean chat/turn-"),
        ("chat/turn-8.ttft.p99>2s", "? There are chat/turn-1, chat/turn-2, chat/turn-3"),
        ("single/ask.ttft.p99>2s", "the task single has no steps; write single without /ask"),
        ("search.e2e.p95>300ms", "there is no task 'search'; did you mean rag/search? There are chat, single, rag"),
        ("rag/ask.flow.p95>1s", "a step has no flow; name the task, or e2e instead of flow"),
        ("single.flow.p95>1s", "needs a flow, which has steps ([[task.step]] in a file)"),
        ("rag/ask.goodput.share<90%", "needs limits for good requests"),
    ],
)
def test_a_threshold_names_a_step(capsys: pytest.CaptureFixture[str], place: Path, threshold: str, words: str) -> None:
    right = ["rag/search.e2e.p95>300ms", "chat/turn-3.ttft.p99>2s", "rag.flow.p95>1s", "flow.p95>1s", "rag.e2e.p95>1s"]
    given = options(place, STEPS, *(each for text in right for each in ("--abort-if", text)))
    assert [each.task for each in given.abort_if] == ["rag/search", "chat/turn-3", "rag", "", "rag"]
    said = refused(capsys, place, STEPS, "--fail-if", threshold)
    assert said.startswith(f"--fail-if {threshold}")
    assert words in said


def test_the_steps_of_flows_do_not_arrive(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    rate = ("--rate", "5/s", "--total-streams", "10")
    options(place, STEPS, *rate, "--fail-if", "rag.dropped>0", "--fail-if", "chat/turn-1.dropped>0")
    said = refused(capsys, place, STEPS, *rate, "--fail-if", "rag/ask.dropped>0")
    assert "flows arrive at a rate, and not their steps: name the task, rag" in said


def test_a_run_without_a_mix_has_turns(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    [judged] = options(place, "", "--turns", "30", "--fail-if", "turn-20+.ttft.p99>2s").fail_if
    assert judged.task == "turn-20+"
    said = refused(capsys, place, "", "--turns", "2", "--fail-if", "turn-3.ttft.p99>2s")
    assert "there is no turn 'turn-3'; did you mean turn-2? There are turn-1, turn-2" in said
    assert "did you mean" in refused(capsys, place, MIX, "--fail-if", "chat.tfft.p99>800ms")


def test_a_list_of_models_is_a_task_for_each(place: Path) -> None:
    run = options(place, "url = 'http://127.0.0.1:9'", "--models", "llama-3.1=3, org/lora:b = 1")
    assert [(task.name, task.weight, task.group, own.model) for task, own in run.each_task] == [
        ("llama-3.1", 3, "models", "llama-3.1"), ("org/lora:b", 1, "models", "org/lora:b")
    ]  # fmt: skip
    [judged] = options(place, "", "--models", "llama-3.1,b", "--fail-if", "llama-3.1.ttft.p99>1s").fail_if
    assert (judged.task, judged.subject, judged.argument) == ("llama-3.1", "ttft", "p99")


def test_the_models_of_a_task_share_its_weight(place: Path) -> None:
    text = MIX.replace('name = "chat"\n', 'name = "chat"\nmodels = "a=1,b=2"\n')
    run = options(place, text)
    assert [(task.name, task.weight, task.group, own.model) for task, own in run.each_task] == [
        ("chat:a", 7, "chat", "a"), ("chat:b", 14, "chat", "b"), ("embed", 9, "", "m"), ("other", 3, "", "m")
    ]  # fmt: skip
    assert [task["name"] for task in describe(run)["tasks"]] == ["chat:a", "chat:b", "embed", "other"]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("", "'' is no model with a weight from 1 to 10,000: write lora-a=3,lora-b=1"),
        ("a=0,b", "'a=0' is no model with a weight"),
        ("a=x", "'a=x' is no model with a weight"),
        ("a,b,a", "the model 'a' is named twice"),
        (",".join(f"m{n}" for n in range(101)), "101 models are too many: a run has at most 100 tasks"),
        ("ttft,b", "--models: 'ttft' can't be the name of a task"),
    ],
)
def test_a_wrong_list_of_models_is_refused(
    capsys: pytest.CaptureFixture[str], place: Path, models: str, words: str
) -> None:
    assert words in refused(capsys, place, "", "--models", models)
    assert "--model and --models can't be used together" in refused(
        capsys, place, "", "--models", "a,b", "--model", "c"
    )
