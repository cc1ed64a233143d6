"""Code blocks of README and docs: commands parse and run against a real mock, JSON parses, Python compiles, jq accepts
its programs.

A block behind `<!-- not run: reason -->` is checked, but not run. Runs are shortened, and their URLs lead to the mock.
"""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from helpers.processes import DEADLINE_S, MockServer, Run, mock_server
from helpers.summaries import facts_of

from llmstress.coordinator.commands.cli import cli
from llmstress.coordinator.commands.configurable import settings_of
from llmstress.coordinator.config.config_file import read_config
from llmstress.coordinator.config.settings import by_key
from llmstress.coordinator.output.summary import encode, summarise
from llmstress.engine.api import guess_api
from llmstress.engine.telemetry.aggregate import Aggregate

ROOT = Path(__file__).parents[1]
KEYS = by_key(settings_of(cli))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

SHELL = ("", "sh", "bash", "shell", "console")
"""Languages of blocks with commands. If lines of a block begin with `$ `, only these are commands."""

EXAMPLES = {"PID": "1"}
"""Words that stand for a value of the user."""

SHORTER = {
    "--duration": "1s",
    "--warmup": "200ms",
    "--ramp-up": "200ms",
    "--requests": "20",
    "--warmup-requests": "5",
    "--streams": "4",
    "--total-streams": "8",
    "--procs": "2",
    "--port": "0",
    "--sweep": "1,2",
    "--point": "1s",
    "--from": "50",  # at a rate a probe needs 400 arrivals
    "--to": "100",
}
"""Flags whose value is replaced in a run, so that it takes a second and little of the machine."""


class Block(NamedTuple):
    """A fenced block: where it is, its language, its text, and why it is not run (empty: it is)."""

    place: str
    language: str
    text: str
    not_run: str


class Command(NamedTuple):
    """A command of a shell block: where it is, its arguments without `llmstress`, and why it is not run."""

    place: str
    arguments: list[str]
    not_run: str


_FENCE = re.compile(
    r"^(?:<!-- (?P<comment>.*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def blocks_of(name: str, page: str) -> list[Block]:
    """The fenced blocks of a page. Their place is the page's name and the line of the fence."""
    found: list[Block] = []
    for match in _FENCE.finditer(page):
        line = page.count("\n", 0, match.start("text"))
        kind, _, reason = (match["comment"] or "").partition(": ")
        found.append(Block(f"{name}:{line}", match["language"], match["text"], reason if kind == "not run" else ""))
    return found


def commands_of(block: Block) -> list[Command]:
    """The commands of a block that start llmstress, of pipelines the part that does. Comments are left out."""
    if block.language not in SHELL:
        return []
    lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    found: list[Command] = []
    for line in lines:
        if re.match(r"(?:\S+ \| )?llmstress(?: |$)", line):
            words = shlex.split(line, comments=True)
            words = words[words.index("llmstress") + 1 :]
            stop = next((at for at, word in enumerate(words) if word in ("|", ">", "&", "&&", ";")), len(words))
            arguments = [EXAMPLES.get(word, word) for word in words[:stop]]
            found.append(Command(block.place, arguments, block.not_run))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(str(page.relative_to(ROOT)), page.read_text("utf-8"))]
COMMANDS = [command for block in BLOCKS for command in commands_of(block)]


FILES = {"prices.toml": '[models."my-model"]\ninput = 2.5\noutput = 10\n'}
"""Files that commands of the pages name, with their content."""


def id_of(command: Command) -> str:
    return f"{command.place} {shlex.join(command.arguments)[:40]}".strip()


def test_blocks_and_commands_are_found() -> None:
    page = (
        "```\nllmstress --url 'a b' \\\n   --x  # why\nmake test\n```\n\n"
        "<!-- not run: it can't be -->\n```console\n$ cat | llmstress probe > out\nllmstress 0.1.0\n```\n"
        "```json\n{}\n```\n"
    )
    blocks = blocks_of("p", page)
    assert [(block.place, block.language, block.not_run) for block in blocks] == [
        ("p:1", "", ""),
        ("p:8", "console", "it can't be"),
        ("p:12", "json", ""),
    ]
    assert [command for block in blocks for command in commands_of(block)] == [
        Command("p:1", ["--url", "a b", "--x"], ""),
        Command("p:8", ["probe"], "it can't be"),
    ]


def test_every_reason_is_known() -> None:
    """A misspelt comment would be no reason, and the block would be run; an empty one says nothing."""
    for page in PAGES:
        for comment in re.findall(r"^<!-- (.*?) -->\n```", page.read_text("utf-8"), re.MULTILINE):
            assert re.match(r"(not run|tested by|example): ?\S|tested by \S", comment), f"{page.name}: {comment}"


# commands


@pytest.mark.parametrize("command", COMMANDS, ids=id_of)
def test_the_arguments_of_a_command_are_accepted(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in command.arguments:
        file = name.removeprefix("@").removeprefix("json-schema:")
        if re.fullmatch(r"[\w-]+\.(?:pem|key|rec|txt|json|toml)", file):
            (tmp_path / file).write_text(FILES.get(name, "" if name.endswith(".toml") else "{}"))
    for name, value in environment_of(command.arguments).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "stdin").write_text("Hi")
    name, *rest = command.arguments or [""]
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        if name in cli.commands:
            cli.commands[name].make_context(name, rest)
        else:
            cli.make_context("llmstress", [*command.arguments])


@pytest.fixture(scope="module")
def server() -> Iterator[MockServer]:
    with mock_server() as server:
        yield server


def localized(arguments: list[str], mock: str) -> list[str]:
    """The arguments with URLs that lead to the mock, and with the API that the host's name told."""
    found: list[str] = []
    for argument in arguments:
        if not re.match(r"https?://", argument):
            found.append(argument)
            continue
        url = urlsplit(argument)
        found.append(f"{mock}{url.path}" + (f"?{url.query}" if url.query else ""))
        if "--api" not in arguments and url.hostname != "localhost":
            api = guess_api(url.netloc, url.path)
            found += ["--api", api] if api else []
    return found


def with_small_values(arguments: list[str]) -> list[str]:
    """The arguments with small values for what lasts or loads."""
    return [SHORTER.get(flag, value) for flag, value in zip(["", *arguments], arguments, strict=False)]


def environment_of(arguments: list[str]) -> dict[str, str]:
    """A value for every variable that the arguments name."""
    names = re.findall(r"\benv:(\w+)", " ".join(arguments))
    names += [value for flag, value in itertools.pairwise(arguments) if flag == "--api-key-env"]
    return dict.fromkeys(names, "of-a-test-7")


@pytest.mark.slow
@pytest.mark.parametrize("command", [each for each in COMMANDS if not each.not_run], ids=id_of)
def test_a_command_runs(command: Command, server: MockServer, tmp_path: Path) -> None:
    kind = command.arguments[0] if command.arguments[:1] and command.arguments[0] in cli.commands else ""
    arguments = localized(command.arguments, server.url)
    for name in arguments:
        if name.endswith(".toml"):
            (tmp_path / name).write_text(FILES.get(name, f'url = "{server.url}"\n'))
    if kind == "mock":
        port = [] if "--port" in arguments else ["--port", "0"]
        run = Run(*[*with_small_values(arguments), *port])
        run.wait_for("mock LLM at ")
        run.process.terminate()
        code, truth, said = run.finish()
        assert (code, truth["requests"]) == (0, 0), said
        return
    assert kind in ("", "probe", "config", "find"), (
        "a command that needs a person or a run in progress is marked as not run"
    )
    if not kind:
        end = [] if {"--duration", "--requests", "--sweep"} & {*arguments} else ["--duration", "1s"]
        point = ["--point", "1s"] if "--sweep" in arguments and "--point" not in arguments else []
        arguments = [*with_small_values(arguments), *end, *point, "--headless"]
    if kind == "find":  # 27 requests show 80 %, so a few seconds are enough
        to = [] if "--to" in arguments else ["--to", "4"]
        arguments = [*with_small_values(arguments), *to, "--attain", "80%", "--point", "1s", "--headless"]
    done = subprocess.run(
        [sys.executable, "-m", "llmstress", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **environment_of(arguments)},
        timeout=DEADLINE_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    if not kind:
        output = arguments[arguments.index("--output") + 1] if "--output" in arguments else ""
        summary = json.loads((tmp_path / output).read_text("utf-8") if output else done.stdout)
        requests = summary["requests"]
        assert requests["ok"] > 0
        assert requests["failed"] == 0, summary["errors"]


# other languages


def test_json_parses() -> None:
    for block in BLOCKS:
        if block.language == "json":
            try:
                json.loads(block.text)
            except ValueError as error:
                error.add_note(block.place)
                raise


def test_toml_of_the_page_of_files_is_read() -> None:
    blocks = [block for block in BLOCKS if block.language == "toml" and block.place.startswith("docs/config.md")]
    assert len(blocks) == 2
    for block in blocks:
        read_config(block.text, block.place, KEYS)


def test_python_compiles() -> None:
    for block in BLOCKS:
        if block.language in ("python", "py"):
            compile(block.text, block.place, "exec", dont_inherit=True)


JQ = [
    (block.place, program)
    for block in BLOCKS
    for program in re.findall(r"\bjq (?:-\w+ )*'(.*?)'", block.text, re.DOTALL)
]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(("place", "program"), JQ, ids=[place for place, _ in JQ])
def test_jq_takes_its_programs(place: str, program: str) -> None:
    summary = encode(summarise(Aggregate.over([1]), facts_of())).decode()
    done = subprocess.run(["jq", program], input=summary, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, (place, done.stderr)
