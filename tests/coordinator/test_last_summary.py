"""Where the summary is written: the file of `--output`, else the last summary in the state directory."""

import asyncio
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import llmstress, mock_server
from helpers.terminal import terminal

from llmstress.coordinator.output.outputs import LAST_SUMMARY, keep_summary, state_directory
from llmstress.coordinator.processes import run_directory
from llmstress.coordinator.processes.viewer import LiveSource
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import RunView, SaveRequested

pytestmark = pytest.mark.slow

LOAD = ("--model", "mock-7b", "--procs", "1", "--streams", "5", "--requests", "20")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/u"}, "/state/llmstress"),
        ({"XDG_STATE_HOME": "", "HOME": "/home/u"}, "/home/u/.local/state/llmstress"),
        ({"HOME": "/home/u"}, "/home/u/.local/state/llmstress"),
        ({"XDG_STATE_HOME": "state", "HOME": "/home/u"}, "/home/u/.local/state/llmstress"),
    ],
)
def test_the_state_directory(environ: dict[str, str], directory: str) -> None:
    assert state_directory(environ) == Path(directory)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "u"}, {"XDG_STATE_HOME": "state"}])
def test_without_a_home_there_is_no_state_directory(environ: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError, match="neither XDG_STATE_HOME nor HOME is set"):
        state_directory(environ)


def test_the_last_summary_replaces_the_one_before_and_is_private(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    umask = os.umask(0)
    try:
        path = keep_summary(b"first", environ)
        assert keep_summary(b"second", environ) == path
    finally:
        os.umask(umask)
    assert path == tmp_path / ".local/state/llmstress/last-summary.json"
    assert path.read_bytes() == b"second"
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path)], ids=["directory", "fifo"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, make: Any) -> None:
    directory = tmp_path / "llmstress"
    directory.mkdir()
    make(directory / LAST_SUMMARY)
    with pytest.raises(FileExistsError):
        keep_summary(b"{}", {"XDG_STATE_HOME": str(tmp_path)})


def test_a_full_disk_leaves_the_summary_before(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    path = keep_summary(b"first", environ)
    module = "llmstress.coordinator.output.outputs"
    code = f"import os; from {module} import keep_summary; keep_summary(b'x' * 5000, os.environ)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert "OSError" in done.stderr
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_a_run_without_output_says_where_its_summary_is(tmp_path: Path) -> None:
    with mock_server() as server:
        code, summary, said = llmstress("--url", server.url, *LOAD, env={"XDG_STATE_HOME": str(tmp_path)})
    kept = tmp_path / "llmstress" / LAST_SUMMARY
    assert code == 0
    assert f"summary: {kept}" in said.splitlines()
    full = json.loads(kept.read_text("utf-8"))
    assert full.pop("histograms")
    assert full == summary


def test_a_run_with_output_says_its_path_and_leaves_the_last_summary(tmp_path: Path) -> None:
    state, output = tmp_path / "state", tmp_path / "o.json"
    with mock_server() as server:
        arguments = ("--url", server.url, *LOAD, "--output", str(output))
        code, _, said = llmstress(*arguments, env={"XDG_STATE_HOME": str(state)})
    assert code == 0
    assert f"summary: {output}" in said.splitlines()
    assert json.loads(output.read_text("utf-8"))["requests"]["ok"] == 20
    assert not state.exists()


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"XDG_STATE_HOME": "{file}"}, "Not a directory"),
        ({"XDG_STATE_HOME": "/proc/nothing"}, "No such file"),
        ({"XDG_STATE_HOME": "", "HOME": ""}, "neither XDG_STATE_HOME nor HOME is set"),
    ],
)
def test_a_summary_that_can_t_be_kept_is_a_note(tmp_path: Path, environ: dict[str, str], why: str) -> None:
    (tmp_path / "file").touch()
    env = {name: value.format(file=tmp_path / "file") for name, value in environ.items()}
    with mock_server() as server:
        code, summary, said = llmstress("--url", server.url, *LOAD, env=env)
    assert (code, summary["requests"]["ok"]) == (0, 20)
    (line,) = [line for line in said.splitlines() if "the summary could not be saved" in line]
    assert why in line
    assert "--output" in line
    assert "summary: " not in said
    assert "Traceback" not in said


def test_if_output_fails_the_summary_is_kept_all_the_same(tmp_path: Path) -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, *LOAD, "--output", "/dev/full")
        code, _, said = llmstress(*arguments, env={"XDG_STATE_HOME": str(tmp_path)})
    assert code == 1
    assert "--output /dev/full: " in said
    assert f"summary: {tmp_path / 'llmstress' / LAST_SUMMARY}" in said.splitlines()


def test_after_the_end_the_screen_is_told_where_the_summary_is_and_save_still_works(home: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    env = {"CI": "", "NO_COLOR": "", "XDG_RUNTIME_DIR": str(home), "XDG_STATE_HOME": str(state)}

    async def save_after_the_end() -> list[str]:
        """The messages that a viewer with --control gets before and after it requests a save."""
        (directory,) = run_directory.running()
        source = LiveSource(directory, controls=True)
        try:
            frames = source.frames()
            view = await anext(frames)
            assert isinstance(view, RunView)
            assert view.ended is not None
            await source.send(SaveRequested())
            notices = list(view.aggregate.notices)
            while "saved as" not in notices[-1].text:
                frame = await anext(frames)
                if isinstance(frame, Notice):
                    notices.append(frame)
            return [notice.text for notice in notices]
        finally:
            source.close()

    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, cwd=tmp_path, env=env, size=(200, 40)) as shown,
    ):
        shown.wait_for("done")
        kept = state / "llmstress" / LAST_SUMMARY
        shown.wait(kept.exists, "the summary was kept")
        told = asyncio.run(asyncio.wait_for(save_after_the_end(), 30))
        assert f"summary: {kept}" in told
        (saved,) = tmp_path.glob("llmstress-*.json")
        assert json.loads(saved.read_text("utf-8"))["ended_by"] == "requests"
        shown.press("q")
        assert shown.finish() == 0
        assert f"summary: {kept}" in shown.text
