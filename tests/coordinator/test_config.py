"""Flags from a file, from variables of the environment and from presets: one order, and errors that name the place."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers.examples import examples
from helpers.processes import llmstress, mock_server
from hypothesis import assume, given
from hypothesis import strategies as st

from llmstress.coordinator.commands import cli
from llmstress.coordinator.commands.config import text_of_run
from llmstress.coordinator.commands.configurable import settings_of
from llmstress.coordinator.commands.defaults import options_of
from llmstress.coordinator.config.config_file import lines_of_names, read_config
from llmstress.coordinator.config.environment import read_environment
from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.presets import PRESETS
from llmstress.coordinator.config.settings import by_key
from llmstress.coordinator.output.redaction import child_environment

SETTINGS = settings_of(cli.cli)
KEYS = by_key(SETTINGS)
PAGE = Path(__file__).parents[2] / "docs/config.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*arguments: str) -> Options:
    """The options of a run with these arguments on a machine of four cores."""
    return options_of(cli.cli.make_context("llmstress", [*arguments]).params, 4, 1000)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `llmstress config` prints."""
    assert cli.run(["config", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error message of a run: one sentence, exit code 2."""
    assert cli.run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("llmstress: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("llmstress: ").rstrip("\n")


# the order


def test_a_flag_goes_before_a_variable_before_the_file_before_the_preset(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = {"--max-tokens": "1", "LLMSTRESS_MAX_TOKENS": "2", "run.toml": "max-tokens = 3\n", "--preset": "chat"}
    found = []
    for left_out in range(len(everything) + 1):
        used = dict([*everything.items()][left_out:])
        arguments = [word for flag in ("--max-tokens", "--preset") if flag in used for word in (flag, used[flag])]
        monkeypatch.setenv("LLMSTRESS_MAX_TOKENS", used.get("LLMSTRESS_MAX_TOKENS", ""))
        (place / "run.toml").write_text(used.get("run.toml", ""))
        found.append(options("--config", "run.toml", *arguments).max_tokens)
    assert found == [1, 2, 3, 340, None]


def test_file_and_preset_can_be_named_by_a_variable_and_the_preset_in_the_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "run.toml").write_text('preset = "batch"\nmodel = "m"\n')
    monkeypatch.setenv("LLMSTRESS_CONFIG", "run.toml")
    assert (options().model, options().max_tokens) == ("m", 500)
    monkeypatch.setenv("LLMSTRESS_PRESET", "agent")
    assert options().max_tokens == 200
    assert options("--preset", "rag").max_tokens == 300


def test_the_target_of_the_command_line_goes_before_that_of_a_file(place: Path) -> None:
    (place / "run.toml").write_text('url = "http://file:1"\n')
    assert options("--config", "run.toml").url == "http://file:1"
    assert options("http://line:1", "--config", "run.toml").url == "http://line:1"
    assert options("--url", "http://line:1", "--config", "run.toml").url == "http://line:1"


def test_every_flag_of_a_run_can_be_set_everywhere() -> None:
    flags = {flag for option in cli.cli.params for flag in option.opts if not getattr(option, "is_eager", False)}
    assert {each.flag for each in SETTINGS} == flags
    assert len(KEYS) == len({each.variable for each in SETTINGS}) + sum(each.negative for each in SETTINGS)


# the file

ALL_KINDS = """\
# a comment with "quotes" and [brackets
url = "http://h:1"  # the target
max_tokens = 0x10
stream = false
no-probe = true
duration = '1m30s'
timeout-total = 0
max-errors = 7
retries = 2
header = [
    "X-A: 1",  # a ] in a comment
    'X-B: ["]',
]
prompt = \"\"\"
two lines \\\"""
max-tokens = 5 is text here\"\"\"\"
system = '''a'''''
rate = "50/s"
[extra-body]
temperature = 0.5
stop = ["a"]
"""


def test_every_kind_of_value_is_read(place: Path) -> None:
    (place / "run.toml").write_text(ALL_KINDS)
    found = options("--config", "run.toml")
    assert (found.url, found.max_tokens, found.stream, found.probe) == ("http://h:1", 16, False, False)
    assert (found.duration_s, found.timeout_total_s, str(found.max_errors), found.retries) == (90, 0, "7", 2)
    assert found.headers == (("X-A", "1"), ("X-B", '["]'))
    assert found.prompt == 'two lines """\nmax-tokens = 5 is text here"'
    assert (found.system, found.extra_body) == ("a''", {"temperature": 0.5, "stop": ["a"]})


def test_the_line_of_every_key_is_found() -> None:
    lines = ALL_KINDS.split("\n")
    for name, line in lines_of_names(ALL_KINDS).items():
        assert re.match(rf"\[?{name}\b", lines[line - 1]), name
    assert [*lines_of_names(ALL_KINDS)] == [*tomllib.loads(ALL_KINDS)]


_VALUES = st.sampled_from(
    ["1", '"#"', "'\\'", '"""a\n"b = 1\n\\""""', "'''\n]\n'''", "[\n 1,\n]", '["]", [1]] # ]', "{a = '}'}", "1 # x = 1"]
)


@examples(60)
@given(values=st.lists(_VALUES, max_size=8), blanks=st.lists(st.sampled_from(["", "\n", "# [\n", "  \n"]), min_size=8))
def test_lines_are_found_whatever_values_stand_before(values: list[str], blanks: list[str]) -> None:
    text, expected = "", {}
    for number, (value, blank) in enumerate(zip(values, blanks, strict=False)):
        text += blank
        expected[f"k{number}"] = text.count("\n") + 1
        text += f"k{number} = {value}\n"
    assert lines_of_names(text) == expected


def test_a_byte_order_mark_crlf_and_an_empty_file_are_no_mistakes(place: Path) -> None:
    (place / "run.toml").write_bytes(b"\xef\xbb\xbfmax-tokens = 5\r\nmodel = '''a\r\nb'''\r\n")
    assert (options("--config", "run.toml").max_tokens, options("--config", "run.toml").model) == (5, "a\nb")
    (place / "run.toml").write_bytes(b"")
    assert options("--config", "run.toml") == options("--config", "/dev/null") == options()


def test_a_file_may_come_from_stdin() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmstress", "config", "--config", "-"],
        input="max-tokens = 3\nstreams = '4'",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "llmstress: stdin, line 2: streams: expected an integer, not a string\n"


WRONG_FILES: list[tuple[str, str]] = [
    # not TOML
    ("max-tokens =", "run.toml, line 1: max-tokens: not valid TOML: Invalid value"),
    ("streams = 1\nduration = 10s\n", "run.toml, line 2, column 14: duration: not valid TOML: "),
    ("duration = 10s\n", "; strings and durations need quotes"),
    ("model = m\n", "run.toml, line 1, column 9: model: not valid TOML"),
    ("just words\n", "run.toml, line 1, column 6: not valid TOML"),
    ('prompt = """a\n\nb', "run.toml, line 3: not valid TOML"),
    ("a = " + "[" * 5000, "run.toml: its arrays or tables are nested too deeply"),
    ("seed = " + "9" * 5000, "run.toml: not valid TOML"),
    # keys
    ("\nmax-tokns = 1", "run.toml, line 2: unknown key 'max-tokns'; did you mean max-tokens?"),
    ("Max_Tokens = 1", "run.toml, line 1: unknown key 'Max_Tokens'; did you mean max-tokens?"),
    ("'--max-tokens' = 1", "run.toml, line 1: unknown key '--max-tokens'; did you mean max-tokens?"),
    ("no-stram = true", "run.toml, line 1: unknown key 'no-stram'; did you mean no-stream?"),
    ("qqqq = 1", "run.toml, line 1: unknown key 'qqqq'; `llmstress config --all` prints all keys"),
    ("k" * 10_000 + " = 1", "run.toml, line 1: unknown key 'kkk"),
    ("seed = 1\n[zebra]\nseed = 2", "run.toml, line 2: unknown table 'zebra'; a file has only keys"),
    ("[[tusk]]\nname = 'a'", "run.toml, line 1: unknown table 'tusk'; did you mean task?"),
    ("seed.a = 2", "run.toml, line 1: seed: expected an integer, not a table"),
    ("config = 'x.toml'", "run.toml, line 1: config can't be set in a file: use --config"),
    ("help = true", "run.toml, line 1: unknown key 'help'"),
    ("all = true", "run.toml, line 1: unknown key 'all'"),
    # twice
    ("seed = 1\nseed = 1", "run.toml, line 2: seed is set twice"),
    ("seed = 1\nseed = 1\n\n", "run.toml, line 2, column 9: seed is set twice"),
    (
        "max-tokens = 1\nmax_tokens = 1",
        "run.toml, line 2: max-tokens is set twice; the other place is run.toml, line 1",
    ),
    ("probe = true\nno-probe = true", "run.toml, line 2: no-probe is set twice"),
    # kinds
    ("max-tokens = '1'", "run.toml, line 1: max-tokens: expected an integer, not a string"),
    ("max-tokens = 1.0", "run.toml, line 1: max-tokens: expected an integer, not the number 1.0"),
    ("max-tokens = true", "run.toml, line 1: max-tokens: expected an integer, not a boolean"),
    ("max-tokens = [1]", "run.toml, line 1: max-tokens: expected an integer, not an array"),
    ("seed = 0x" + "f" * 5000, "run.toml, line 1: seed: expected an integer of at most 64 bits"),
    ("burstiness = '1'", "run.toml, line 1: burstiness: expected a number, not a string"),
    ("model = 5", "run.toml, line 1: model: expected a string, not the number 5"),
    ("api-version = 2024-10-21", "run.toml, line 1: api-version: expected a string, not a date or time"),
    ("headless = 1", "run.toml, line 1: headless: expected true or false, not the number 1"),
    ("headless = 'yes'", "run.toml, line 1: headless: expected true or false, not a string"),
    ("duration = 10", 'run.toml, line 1: duration: expected a string with a unit, like "10s", not the number 10'),
    ("[duration]", 'run.toml, line 1: duration: expected a string with a unit, like "10s", not a table'),
    ("header = 'X: y'", 'run.toml, line 1: header: expected an array, like header = ["..."], not a string'),
    ("on_status = [true]", "run.toml, line 1: on-status: expected a string or a number, not a boolean"),
    ("extra-body = 5", "run.toml, line 1: extra-body: expected a table, or a string with a JSON object"),
    ("extra-body = {a = nan}", "run.toml, line 1: extra-body: the table is not a JSON object"),
    ("[extra-body]\na = 2024-10-21", "run.toml, line 1: extra-body: the table is not a JSON object"),
    # what the flag's own check refuses
    ("max-tokens = 0", "--max-tokens must be at least 1, not 0; max-tokens comes from run.toml, line 1"),
    ("\nduration = '10'", "--duration needs a unit, e.g. 10s; duration comes from run.toml, line 2"),
    ("max-errors = 0", "neither a number of errors like 250 nor a percentage like 5%; max-errors comes from run.toml"),
    ("preset = 'chatt'", "'chatt' is not one of 'chat', 'rag', "),
    ("encoding = 'x'", "'x' is not one of 'float', 'base64'; encoding comes from run.toml, line 1"),
    ("header = ['X: y', 'X']", "write it like 'Name: value'; header comes from run.toml, line 1"),
    ("prompt = '@none'", "none can't be read: No such file"),
    ("extra-body = '{'", "; extra-body comes from run.toml, line 1"),
    ("api = 'telepathy'", "unknown API 'telepathy'"),
    ("keepalive = false\nrequests-per-connection = 5", "; keepalive comes from run.toml, line 1; requests-per-conn"),
    ("url = 'localhost:8000'", "did you mean http://localhost:8000?; url comes from run.toml, line 1"),
    ("task = []", "run.toml, line 1: task is empty: begin each task with [[task]], or drop it"),
    ("prompt-tokens = 99999999999", "a length is at most 10,000,000 tokens; prompt-tokens comes from run.toml, line 1"),
    ("url = '***'", "run.toml, line 1: url is ***, which stands for a secret that was not printed"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_FILES, ids=[text[:40] for text, _ in WRONG_FILES])
def test_a_mistake_in_a_file_is_told_with_its_place(
    capsys: pytest.CaptureFixture[str], place: Path, text: str, words: str
) -> None:
    (place / "run.toml").write_text(text)
    assert words in refused(capsys, "--config", "run.toml")


def test_an_error_names_all_places_but_not_the_command_line(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "run.toml").write_text("streams = 5\n")
    drop = "--streams (per process) and --total-streams can't be used together: drop one of them"
    assert (
        refused(capsys, "--config", "run.toml", "--total-streams", "9")
        == f"{drop}; streams comes from run.toml, line 1"
    )
    monkeypatch.setenv("LLMSTRESS_TOTAL_STREAMS", "9")
    assert refused(capsys, "--streams", "5") == f"{drop}; total-streams comes from LLMSTRESS_TOTAL_STREAMS"
    assert refused(capsys, "--config", "run.toml").startswith(f"{drop}; streams comes from run.toml, line 1; total-")
    monkeypatch.delenv("LLMSTRESS_TOTAL_STREAMS")
    assert refused(capsys, "--streams", "5", "--total-streams", "9") == drop
    said = refused(capsys, "--api", "openai-embeddings", "--preset", "chat")
    assert said.startswith("--max-tokens isn't supported by openai-embeddings")
    assert said.endswith("; max-tokens comes from preset chat")


def test_a_secret_in_a_file_that_is_wrong_is_not_repeated(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    for text in ("header = ['X sk-secret']", 'header = ["X: sk-secret', 'extra-body = \'{"api_key": "sk-secret",}\''):
        (place / "run.toml").write_text(text)
        assert "sk-secret" not in refused(capsys, "--config", "run.toml")


def test_a_file_serves_a_run_and_a_probe(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "run.toml").write_text("streams = 4\njson = true\nmax-tokens = 3\nprocs = 1\nrequests = 4\n")
    with mock_server() as server:
        code, summary, _ = llmstress(server.url, "--config", "run.toml")
        assert cli.run(["probe", server.url, "--config", "run.toml"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "ok"
    assert (code, summary["requests"]["ok"], summary["tokens"]["output"]) == (0, 4, 12)
    assert refused(capsys, "probe", "--config", "run.toml", "--timeout-idle", "1").startswith("--timeout-idle needs")


@examples(100)
@given(
    text=st.lists(
        st.sampled_from(
            [*KEYS, "x", "=", " = ", "\n", '"', "'", '"""', "1", "true", "[", "]", "{", "}", "#", ",", "\\"]
        )
    ).map("".join)
)
def test_a_file_is_read_or_refused(text: str) -> None:
    refusal = "run.toml"
    try:
        read_config(text, "run.toml", KEYS)
    except UsageError as error:
        refusal = str(error)
    assert refusal.startswith("run.toml")


# the environment


def of_environment(**variables: str) -> Mapping[str, Any]:
    return {field: each.value for field, each in read_environment(variables, KEYS).items()}


def test_variables_have_the_syntax_of_the_flags() -> None:
    found = of_environment(
        LLMSTRESS_MAX_TOKENS="256",
        LLMSTRESS_DURATION="1m",
        LLMSTRESS_HEADER="X: a, b\n\nY: c\n",
        LLMSTRESS_EXTRA_BODY='{"a": 1}',
        LLMSTRESS_MODEL="",
        PATH="/bin",
    )
    assert found == {
        "max_tokens": "256",
        "duration_s": "1m",
        "headers": ["X: a, b", "Y: c"],
        "extra_body": '{"a": 1}',
    }


@pytest.mark.parametrize(
    ("word", "on"), [("1", True), ("TRUE", True), (" yes ", True), ("on", True), ("0", False), ("Off", False)]
)
def test_a_switch_is_on_or_off(word: str, on: bool) -> None:
    assert of_environment(LLMSTRESS_HEADLESS=word, LLMSTRESS_PROBE=word, LLMSTRESS_NO_STREAM=word) == {
        "headless": on,
        "probe": on,
        "stream": not on,
    }


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LLMSTRESS_MAX_TOKENS", "many", "'many' is not a valid integer; max-tokens comes from LLMSTRESS_MAX_TOKENS"),
        ("LLMSTRESS_MAX_TOKENS", "0", "--max-tokens must be at least 1, not 0; max-tokens comes from LLMSTRESS_MAX_"),
        ("LLMSTRESS_DURATION", "10", "--duration needs a unit, e.g. 10s; duration comes from LLMSTRESS_DURATION"),
        ("LLMSTRESS_HEADLESS", "maybe", "LLMSTRESS_HEADLESS: expected one of 1, true, yes, on, 0, false, no, off, not"),
        ("LLMSTRESS_HEADER", "X", "write it like 'Name: value'; header comes from LLMSTRESS_HEADER"),
        ("LLMSTRESS_CONFIG", "none.toml", "LLMSTRESS_CONFIG: none.toml can't be read: No such file or directory"),
        ("LLMSTRESS_PRESET", "x", "; preset comes from LLMSTRESS_PRESET"),
    ],
)
def test_an_error_in_a_variable_names_it(
    capsys: pytest.CaptureFixture[str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert words in refused(capsys)
    assert cli.run(["--help"]) == cli.run(["completion", "bash"]) == cli.run(["config", "--help"]) == 0


def test_an_unknown_variable_is_named_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMSTRESS_MAX_TOKEN", "5")
    printed(capsys)
    assert cli.run(["config"]) == 0
    assert capsys.readouterr().err == (
        "llmstress: the variable LLMSTRESS_MAX_TOKEN has no effect: no flag has this name; did you mean "
        "LLMSTRESS_MAX_TOKENS?\n"
    )


def test_child_processes_get_no_variable_that_holds_a_secret() -> None:
    variables = {"LLMSTRESS_HEADER": "Authorization: Bearer sk-0123456789", "LLMSTRESS_MODEL": "m"}
    assert child_environment(variables, ["sk-0123456789"], []) == {"LLMSTRESS_MODEL": "m"}


# presets


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_lengths_think_time_and_slos(place: Path, name: str) -> None:
    found = options("--preset", name)
    assert found.max_tokens == PRESETS[name].choices["max-tokens"].value
    assert str(found.prompt_tokens) == str(PRESETS[name].choices["prompt-tokens"].value)
    assert PRESETS[name].choices.keys() == {"prompt-tokens", "max-tokens", "think-time", "slo"}
    assert PRESETS[name].choices.keys() <= KEYS.keys()
    assert [slo.text for slo in found.slos] == PRESETS[name].choices["slo"].value
    assert all(choice.reason for choice in PRESETS[name].choices.values())


def test_the_think_time_of_a_preset_is_for_streams_only(place: Path) -> None:
    loads = (("--stage", "30s:5"), ("--rate", "5/s"), ("--stage", "30s:5/s"))
    pauses = [options("--preset", "chat", *load).think for load in loads]
    assert pauses[0] != options().think
    assert pauses[1:] == [options().think] * 2


def test_the_page_has_the_table_of_the_presets() -> None:
    """After a change that is meant: UPDATE_DOCS=1 pytest tests/coordinator/test_config.py."""
    rows = [
        f"| `{name}` | `{key}` | {value_text(choice.value)} | {choice.reason} |"
        for name, preset in PRESETS.items()
        for key, choice in preset.choices.items()
    ]
    meanings = [f"- `{name}`: {preset.meaning}" for name, preset in PRESETS.items()]
    lines = [*meanings, "", "| preset | key | value | reason |", "|---|---|---|---|", *rows]
    made = "\n".join(["<!-- table: presets -->", "", *lines, "", "<!-- end -->"])
    text = PAGE.read_text("utf-8")
    [found] = re.findall(r"<!-- table: presets -->\n.*?<!-- end -->", text, re.DOTALL)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(text.replace(found, made), "utf-8")
        found = made
    assert found == made


def value_text(value: Any) -> str:
    return ", ".join(f"`{each}`" for each in (value if isinstance(value, list) else [value]))


def test_a_preset_leaves_out_what_is_given_in_another_way(place: Path) -> None:
    prompt = options("--preset", "chat", "--prompt", "hi")
    assert (prompt.prompt, prompt.prompt_tokens, prompt.max_tokens) == ("hi", None, 340)
    assert options("--preset", "chat", "--prompt-ids", "1,2").prompt_tokens is None
    assert options("--preset", "chat", "--prompts", "file").prompt_tokens is None
    traced = options("--preset", "chat", "--trace", "file")
    assert (traced.prompt_tokens, traced.max_tokens) == (None, None)
    lengths = options("--preset", "chat", "--output-tokens", "7")
    assert (str(lengths.prompt_tokens), str(lengths.output_tokens), lengths.max_tokens) == ("160", "7", None)


def test_a_prompt_and_made_prompts_contradict_each_other(place: Path) -> None:
    (place / "run.toml").write_text('prompt = "hi"', "utf-8")
    with pytest.raises(UsageError, match="--prompt-tokens makes prompts"):
        options("--prompt-tokens", "5", "--prompt", "hi")
    with pytest.raises(UsageError, match="--prompt-tokens makes prompts"):
        options("--prompt-tokens", "5", "--config", "run.toml")


# llmstress config


def test_a_run_is_printed_with_origins(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "run.toml").write_text("# a load\ngrace = '30s'\nseed = 7\n")
    monkeypatch.setenv("LLMSTRESS_DURATION", "10s")
    text = printed(capsys, "http://h:1", "--no-probe", "--config", "run.toml", "--preset", "chat", "--max-tokens", "5")
    lines = text.split("\n")
    assert lines[0].startswith("# llmstress ")
    assert [line for line in lines[1:] if line] == [
        "# Target",
        'url = "http://h:1"  # --url',
        "probe = false  # --no-probe",
        "# Load",
        'duration = "10s"  # LLMSTRESS_DURATION',
        'think-time = "exp:10s"  # preset chat',
        "seed = 7  # run.toml, line 3",
        "# Request",
        "max-tokens = 5  # --max-tokens",
        "# Prompts",
        'prompt-tokens = "160"  # preset chat',
        "# SLOs",
        "slo = [",
        '    "ttft<1s",',
        '    "tpot<100ms",',
        "]  # preset chat",
        "# Configuration",
        'preset = "chat"  # --preset',
    ]


def test_all_prints_every_key(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    text = printed(capsys, "--all", "--seed", "3")
    for setting in SETTINGS:
        if setting.key not in ("config", "dry-run"):
            assert re.search(rf"^(?:# )?{setting.key} (?:= |is not set)", text, re.MULTILINE), setting.key
    assert 'grace = "30s"  # default\n' in text
    assert "seed = 3  # --seed\n" in text
    assert "# model is not set\n" in text


FLAGS: dict[str, st.SearchStrategy[str]] = {
    "--url": st.sampled_from(["http://h:1", "http://127.0.0.1:9/v1"]),
    "--model": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8),
    "--prompt": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12).map(
        lambda text: text.replace("@", "@@", 1) if text.startswith("@") else text + "."
    ),
    "--system": st.sampled_from(["@@x", 'a"""b', "'''", "#", "\\", "\r\n\t\x7f"]),
    "--max-tokens": st.integers(1, 99).map(str),
    "--seed": st.sampled_from(["0", "007", "9223372036854775807"]),
    "--think-time": st.sampled_from(["0s", "1s..2s"]),
    "--rate": st.sampled_from(["5/s", "50/m"]),
    "--duration": st.sampled_from(["1m30s", "60s", "500ms"]),
    "--timeout-total": st.sampled_from(["0", "0s", "1.5s"]),
    "--max-errors": st.sampled_from(["5", "5%"]),
    "--extra-body": st.sampled_from(["{}", '{"a": null, "b": [1.5, "é\\u0000"]}']),
    "--header": st.sampled_from(["X: y", "X-Y:", 'X: "']),
    "--on-status": st.sampled_from(["529=retry", "quota=count"]),
    "--source-ip": st.just("127.0.0.2"),
    "--preset": st.sampled_from([*PRESETS]),
    "--limit-field": st.just("max_tokens"),
    "--log-file": st.sampled_from(["x y", "é"]),
}
SWITCHES = ("--no-probe", "--no-stream", "--no-usage", "--headless", "--no-keepalive", "--insecure", "--histograms")


@examples(40)
@given(data=st.data())
def test_a_printed_run_is_the_same_run(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    flags = data.draw(st.lists(st.sampled_from([*FLAGS]), unique=True), label="flags")
    repeated = [flag for flag in flags if flag in ("--header", "--on-status")]
    switches = data.draw(st.lists(st.sampled_from(SWITCHES), unique=True), label="switches")
    arguments = [word for flag in flags + repeated for word in (flag, data.draw(FLAGS[flag], label=flag))] + switches
    try:
        asked, texts = options(*arguments), [config_of(*arguments), config_of(*arguments, "--all")]
    except UsageError:
        assume(False)  # flags that contradict each other
    file = tmp_path_factory.mktemp("run") / "run.toml"
    for text in texts:
        file.write_text(text, "utf-8")
        assert options("--config", str(file)) == asked


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rate", "600k-tokens/m", "--burstiness", "0.30000000000000004", "--arrival", "gamma"),
        ("--stage", "30s:100", "--stage", "1m:0:step", "--think-time", "1s..3s"),
        ("http://h:1/v1/completions", "--prompt-ids", "1,2", "--resolve", "h:1:127.0.0.1,::1"),
        ("http://h:1/v1/embeddings", "--encoding", "float", "--batch", "7"),
        ("http://h:1", "--api", "sse", "--body", "@body.txt", "--done", "", "--method", "put"),
        ("--slo", "ttft<1s", "--slo-preset", "mlperf:mixtral-8x7b", "--deadline", "first=1s,token=9ms"),
        ("--slo", "e2e<=1s", "--slo", "queue<1ms", "--reading-speed", "4.5"),
    ],
    ids=" ".join,
)
def test_a_printed_run_of_a_rarer_kind_is_the_same_run(place: Path, arguments: tuple[str, ...]) -> None:
    (place / "body.txt").write_text('{"p": "{prompt}"}')
    for everything in ([], ["--all"]):
        (place / "run.toml").write_text(config_of(*arguments, *everything))
        assert options("--config", "run.toml") == options(*arguments) != options()


def config_of(*arguments: str) -> str:
    """The file that `llmstress config` prints."""
    return text_of_run(cli.cli.commands["config"].make_context("config", [*arguments]))


def test_a_printed_run_has_no_secrets_and_runs_with_the_variables_that_it_names(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "sk-of-the-environment")
    (place / "body.json").write_text('{"token": "sk-of-a-file"}')
    arguments = (
        *("--url", "http://user:sk-1-user@h:1/v1?key=sk-2-parameter", "--proxy", "http://u:p@proxy:1"),
        *("--header", "Authorization: Bearer sk-3-header", "--header", "X-A: env:KEY", "--header", "X-B: shown"),
        *("--extra-body", '{"api_key": "ab", "n": 1}'),
    )
    text = printed(capsys, *arguments)
    assert not re.search(r"sk-|user|proxy:1|\bab\b", text)
    assert '"X-A: env:KEY"' in text
    assert '"X-B: shown"' in text
    needed = re.findall("the variable (\\w+)", text)
    assert needed == ["LLMSTRESS_URL", "HEADER_AUTHORIZATION", "LLMSTRESS_EXTRA_BODY", "LLMSTRESS_PROXY"]
    (place / "printed.toml").write_text(text)
    monkeypatch.setenv("HEADER_AUTHORIZATION", "Bearer sk-3-header")
    assert (
        "is ***, which stands for a secret that was not printed; give the value with LLMSTRESS_URL or --url"
        in refused(capsys, "--config", "printed.toml")
    )
    monkeypatch.setenv("LLMSTRESS_URL", arguments[1])
    monkeypatch.setenv("LLMSTRESS_PROXY", arguments[3])
    again = options("--config", "printed.toml", "--extra-body", '{"api_key": "ab", "n": 1}')
    asked = options(*arguments)
    assert again.headers[0] == ("Authorization", "env:HEADER_AUTHORIZATION")
    assert msgspec.structs.replace(again, headers=asked.headers) == asked


def test_a_task_is_printed_without_secrets_and_with_the_way_to_give_them(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "tasks.toml").write_text(
        """\
url = "http://127.0.0.1:9"
model = "m"
header = ["X-Key: sk-of-the-run"]

[[task]]
name = "chat"
header = ["X-Key: sk-of-the-task"]
extra-body = {api_key = "sk-body-1"}

[[task]]
name = "rag"

[[task.step]]
name = "one"
header = ["X-Key: sk-of-the-step"]
"""
    )
    text = printed(capsys, "--config", "tasks.toml")
    assert "sk-" not in text
    assert '# the secret is not printed: write the value in place of ***\nextra-body = "***"' in text
    assert re.findall("the variable (\\w+)", text) == ["HEADER_X_KEY", "HEADER_CHAT_X_KEY", "HEADER_RAG_ONE_X_KEY"]
    for variable in ("HEADER_X_KEY", "HEADER_CHAT_X_KEY", "HEADER_RAG_ONE_X_KEY"):
        monkeypatch.setenv(variable, "sk-0123456")
    (place / "printed.toml").write_text(text)
    said = refused(capsys, "--config", "printed.toml")
    assert "extra-body is ***, which stands for a secret that was not printed; write the value in place of ***" in said
    (place / "printed.toml").write_text(text.replace('"***"', '{api_key = "sk-body-1"}'))
    assert options("--config", "printed.toml").tasks[0].own["headers"] == (("X-Key", "env:HEADER_CHAT_X_KEY"),)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--extra-body", '{"api_key": "\\u0073k-1234567"}'), 'extra-body = "***"'),
        (("--extra-body", '{"max_tokens": 5}'), '"max_tokens\\": 5}"'),
        (("--header", "X-Key: a", "--header", "X-Key: b"), '"X-Key: env:HEADER_X_KEY_2"'),
        (("--header", "X-Key: abcdefgh", "--prompt", "say abcdefgh"), 'prompt = "***"'),
        (("--header", "Authorization: Bearer abcdefgh", "--prompt", "say abcdefgh"), 'prompt = "***"'),
    ],
)
def test_secrets_are_found(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: tuple[str, ...], shown: str
) -> None:
    assert shown in printed(capsys, "http://127.0.0.1:9", *arguments)


def test_what_a_file_can_t_hold_is_refused(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    words = "--api-key-env is not UTF-8 text, so a file can't hold it"
    assert refused(capsys, "config", "--api-key-env", "\udcff") == words


def test_config_makes_the_checks_of_a_run(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    for arguments, words in (
        (("--api-key-env", "sk-0123456789abcdef0123"), "the given text looks like a key, so it is not shown"),
        (("--cacert", "none.pem"), "--cacert"),
        (("--api", "sse", "--no-stream"), "--no-stream does not work with this API"),
        (("--streams", "0"), "--streams must be at least 1"),
    ):
        assert words in refused(capsys, "config", "http://127.0.0.1:9", *arguments)
