"""Texts of the request from a file or from stdin: unchanged, and never in argv."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from helpers.examples import examples
from helpers.http_servers import Handler, served
from helpers.processes import llmstress, mock_server
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.commands import cli
from llmstress.coordinator.commands.text_input import text_of
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.shown_options import describe

TEXT = "Grüße,\r\n\ttell me 😀\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files of all kinds."""
    (tmp_path / "prompt.txt").write_bytes(TEXT.encode())
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_bytes("Grüße".encode("latin-1"))
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_read_exactly_as_it_is(directory: Path) -> None:
    assert text_of("@prompt.txt") == text_of(f"@{directory}/prompt.txt") == TEXT


@examples(100)
@given(text=st.text(max_size=20).filter(lambda text: text not in ("-", "@-")))
def test_a_text_without_an_at_sign_is_itself_and_a_doubled_one_is_one(text: str) -> None:
    if not text.startswith("@"):
        assert text_of(text) == text
    assert text_of(f"@@{text}") == f"@{text}"


@pytest.mark.parametrize("flag", ["--prompt", "--system", "--body", "--extra-body", "--prompt-ids"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("@none", "none can't be read: No such file or directory; to begin a text with @, write @@"),
        ("@.", ". can't be read: Is a directory"),
        ("@prompt.txt/x", "prompt.txt/x can't be read: Not a directory"),
        ("@empty", "empty is empty"),
        ("@fifo", "fifo is empty"),
        ("@latin", "latin is not UTF-8 text (byte 2)"),
        ("@/dev/zero", "/dev/zero is larger than 64 MiB"),
        ("@", "@ must be followed by a file name"),
    ],
)
@pytest.mark.usefixtures("directory")
def test_what_can_t_be_read_is_told_in_one_sentence_that_names_the_flag(
    capsys: pytest.CaptureFixture[str], flag: str, value: str, words: str
) -> None:
    assert cli.run(["http://127.0.0.1:9", "--model", "m", flag, value]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"llmstress: Invalid value for '{flag}': {words}")
    assert said.count("\n") == 1


def test_a_pipe_that_somebody_writes_into_is_read_to_its_end(directory: Path) -> None:
    with subprocess.Popen(["cat", "prompt.txt"], stdout=subprocess.PIPE, cwd=directory) as writer:
        assert writer.stdout is not None
        assert text_of(f"@/dev/fd/{writer.stdout.fileno()}") == TEXT
    assert text_of("@prompt.txt") == TEXT


class Noting(Handler):
    """A server that stores the bodies it gets, and answers with a status that does not end the run."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[bytes]]

    def do_POST(self) -> None:
        self.bodies.append(self.body())
        self.answer(500, b"no")


@pytest.fixture
def noting() -> Iterator[tuple[str, list[bytes]]]:
    """A server, and the bodies that it has got."""

    class Fresh(Noting):
        bodies: ClassVar[list[bytes]] = []

    with served(Fresh) as url:
        yield url, Fresh.bodies


@pytest.mark.slow
def test_what_is_sent_is_what_is_in_the_files(noting: tuple[str, list[bytes]], directory: Path) -> None:
    url, bodies = noting
    (directory / "system.txt").write_text("Be brief", "utf-8")
    (directory / "more.json").write_text('{"n": 2}', "utf-8")
    command = [sys.executable, "-m", "llmstress", "probe", url, "--model", "m", "--prompt", "-"]
    files = ["--system", "@system.txt", "--extra-body", "@more.json"]
    subprocess.run([*command, *files], input=TEXT.encode(), check=False, stdout=subprocess.DEVNULL, cwd=directory)
    [sent] = [json.loads(body) for body in bodies]
    assert sent["messages"] == [{"role": "system", "content": "Be brief"}, {"role": "user", "content": TEXT}]
    assert sent["n"] == 2


def test_stdin_is_read_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        os.write(writing, b"Hi")
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    with open(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert cli.run(["http://127.0.0.1:9", "--model", "m", "--prompt", "-", "--system", "-"]) == 2
    writer.join()
    assert "'--system': stdin is empty; only one flag can read it" in capsys.readouterr().err


@pytest.mark.slow
def test_a_prompt_that_argv_could_not_hold_is_sent_and_is_short_in_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("lighthouse " * 20_000, "utf-8")
    with mock_server() as server:
        code, summary, _ = llmstress(
            *("--url", server.url, "--procs", "1", "--streams", "1", "--requests", "2", "--prompt", f"@{path}")
        )
    assert code == 0
    assert summary["tokens"]["input"] > 2 * 20_000
    shown = summary["run"]["options"]["prompt"]
    assert shown.startswith("lighthouse lighthouse")
    assert shown.endswith("… (220,000 characters)")
    assert len(shown) < 250


def test_the_summary_shows_short_texts_whole_and_of_long_ones_the_beginning() -> None:
    def options(**changes: object) -> Options:
        return Options(**({"procs": 1, "prompt": "p"} | changes))  # type: ignore[arg-type]

    assert describe(options(prompt="a" * 200))["prompt"] == "a" * 200
    long = describe(
        options(
            system="s" * 201,
            body="b" * 1_000,
            prompt_ids=tuple(range(5_000)),
            extra_body={"messages": [{"content": "c" * 300}], "n": 1},
        )
    )
    assert long["system"] == "s" * 200 + "… (201 characters)"
    assert long["body"] == "b" * 200 + "… (1,000 characters)"
    assert long["prompt_ids"] == [*range(200), "… 5,000 token ids"]
    assert long["extra_body"] == {"messages": [{"content": "c" * 200 + "… (300 characters)"}], "n": 1}
