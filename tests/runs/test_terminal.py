"""The screen as a user has it: the command in a real terminal."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import children_of, mock_server, wait_until_gone, workers_of
from helpers.terminal import Terminal, terminal

from llmstress.coordinator.processes import run_directory

pytestmark = pytest.mark.slow

LOAD = ("--model", "mock-7b", "--procs", "2", "--streams", "10")


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    """An environment in which a screen opens."""
    return {"CI": "", "NO_COLOR": "", "XDG_RUNTIME_DIR": str(home)}


def summary_in(path: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return summary


def succeeded(shown: Terminal) -> int:
    """The requests that the outcome on the overview speaks of."""
    found = re.search(r"all ([\d,]+) requests succeeded", shown.text)
    return 0 if found is None else int(found[1].replace(",", ""))


def viewer_of(shown: Terminal) -> int:
    """Process id of the screen."""
    for pid in children_of(shown.process.pid):
        if "llmstress.coordinator.processes.viewer" in Path(f"/proc/{pid}/cmdline").read_text("utf-8"):
            return pid
    raise AssertionError("there is no screen")


def test_a_run_shows_itself_and_leaves_the_terminal_as_it_was(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "2s", "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("steady")
        shown.wait_for("20/20")
        shown.wait_for("done")
        assert (tmp_path / "o.json").exists(), "the summary is there before the screen is left"
        shown.press("s")
        shown.wait(lambda: bool(list(tmp_path.glob("llmstress-*.json"))), "the summary is saved again")
        (again,) = tmp_path.glob("llmstress-*.json")
        assert summary_in(again)["ended_by"] == "duration", "saved after the end"
        shown.press("q")
        assert shown.finish() == 0
        assert shown.restored
        assert "measurement: " in shown.text
        assert "requests" in shown.text
        assert b"Traceback" not in shown.raw
    assert summary_in(tmp_path / "o.json")["ended_by"] == "duration"


def test_plus_and_minus_reach_the_server(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("20/20")
        shown.press("]")
        shown.wait_for("30/30")
        shown.press("+")
        shown.wait_for("33/33")
        before = succeeded(shown)
        shown.wait(lambda: succeeded(shown) >= before + 2 * 33, "every stream has begun another request")
        shown.press("qy")
        shown.wait_for("done")
        shown.press("q")
        assert shown.finish() == 0
        truth = server.stop()
    summary = summary_in(tmp_path / "o.json")
    assert truth["open_max"] == summary["streams"]["peak"] == 33
    assert truth["requests"] == summary["requests"]["started"]
    assert summary["ended_by"] == "signal"


def test_keys_change_the_rate_and_end_stages(env: dict[str, str], tmp_path: Path) -> None:
    stages = ("--stage", "60s:20/s:step", "--stage", "60s:40/s:step")
    load = ("--model", "mock-7b", "--procs", "2", "--total-streams", "50", *stages)
    with (
        mock_server() as server,
        terminal("--url", server.url, *load, "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("STAGE 1 OF 2")
        shown.wait_for("achieved")
        shown.press("]")
        shown.wait_for("now 30/s")
        shown.press("k")
        shown.wait_for("End stage 1 of 2 now?")
        shown.press("k")
        shown.wait_for("STAGE 2 OF 2")
        shown.wait_for("now 40/s")
        shown.press("6")
        shown.wait_for("1 stage over")
        shown.press("q")
        shown.wait_for("End the run?")
        shown.press("y")
        shown.wait_for("done")
        shown.press("q")
        assert shown.finish() == 0
    summary = summary_in(tmp_path / "o.json")
    assert [row["text"] for row in summary["events"] if row["kind"] == "load"] == [
        "rate 20.0/s → 30.0/s",
        "stage 1 ended early",
    ]


def test_an_abort_ends_at_once(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server("--ttft-ms", "60000") as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("20/20")
        shown.press("Q")
        shown.press("y")
        shown.wait_for("done")
        shown.press("q")
        assert shown.finish() == 130
        assert shown.restored
    assert summary_in(tmp_path / "o.json")["ended_by"] == "abort"


def test_a_lost_worker_is_shown(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("20/20")
        os.kill(workers_of(shown.process.pid)[0], signal.SIGKILL)
        shown.press("3")
        shown.wait_for("lost")
        shown.wait_for("SIGKILL")
        shown.press("\x03")
        shown.wait_for("done")
        shown.press("\x03")
        assert shown.finish() == 4
        assert shown.restored


def test_a_closed_terminal_drains_the_run_and_leaves_its_summary(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("20/20")
        shown.close()
        assert shown.process.wait(60) == 143
        truth = server.stop()
    summary = summary_in(tmp_path / "o.json")
    assert summary["ended_by"] == "signal"
    assert summary["requests"]["started"] == summary["requests"]["ok"] == truth["requests"]


def test_a_signal_closes_the_screen_too(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("20/20")
        shown.process.terminate()
        assert shown.finish() == 143
        assert shown.restored
        assert "measurement: " in shown.text


@pytest.mark.slow
def test_a_screen_that_dies_takes_nothing_with_it(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "3s", cwd=tmp_path, env=env, size=(160, 48)) as shown,
    ):
        shown.wait_for("of 20")
        os.kill(viewer_of(shown), signal.SIGKILL)
        shown.wait_for("the screen was closed unexpectedly")
        shown.wait_for("req/s")
        assert shown.finish() == 0
        assert shown.restored
        assert "measurement: " in shown.text


@pytest.mark.slow
def test_who_detaches_may_leave_and_come_back(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("20/20")
        shown.press("d")
        shown.wait_for("the screen was closed; the run continues")
        shown.wait_for("tok/s")
        assert shown.restored
        shown.close()
        with terminal("attach", "--control", cwd=tmp_path, env=env) as second:
            second.wait_for("20/20")
            with terminal("attach", cwd=tmp_path, env=env) as third:
                third.wait_for("20/20")
                third.press("]")
                third.wait_for("view only")
                third.press("q")
                assert third.finish() == 0
                assert third.restored
            second.press("qy")
            second.wait_for("done")
            second.press("q")
            assert second.finish() == 0
        assert shown.process.wait(60) == 0
    assert summary_in(tmp_path / "o.json")["streams"] == {"target": 20, "peak": 20}


@pytest.mark.slow
def test_another_size_is_another_layout(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", cwd=tmp_path, env=env, size=(200, 60)) as shown,
    ):
        for size, shows in (((200, 60), "of 20"), ((80, 24), "20/20"), ((200, 60), "of 20")):
            shown.resize(*size)
            shown.wait_for(shows)
            shown.wait(lambda: "q end" in shown.text.splitlines()[-1], "the last line has the keys")
        shown.press("\x03")
        shown.wait_for("done")
        shown.press("q")
        assert shown.finish() == 0


@pytest.mark.slow
@pytest.mark.parametrize("spoiler", [{"TERM": "dumb"}, {"CI": "true"}])
def test_no_screen_where_nobody_looks(env: dict[str, str], tmp_path: Path, spoiler: dict[str, str]) -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, *LOAD, "--duration", "1s")
        with terminal(*arguments, cwd=tmp_path, env={**env, **spoiler}, size=(160, 48)) as shown:
            assert shown.finish() == 0
            assert b"\x1b[?1049h" not in shown.raw
            assert "measurement: " in shown.text


def test_attach_without_a_run_says_so(env: dict[str, str], tmp_path: Path) -> None:
    with terminal("attach", cwd=tmp_path, env=env) as shown:
        assert shown.finish() == 3
        assert "you have no run in progress on this machine" in shown.text


@pytest.mark.slow
def test_a_record_is_shown_again(env: dict[str, str], tmp_path: Path) -> None:
    with mock_server() as server:
        arguments = ("--url", server.url, *LOAD, "--duration", "1s", "--headless", "--record", "run.rec")
        with terminal(*arguments, cwd=tmp_path, env=env) as shown:
            assert shown.finish() == 0
    with terminal("replay", "run.rec", "--speed", "8", cwd=tmp_path, env=env) as shown:
        shown.wait_for("done")
        shown.press("q")
        assert shown.finish() == 0
        assert shown.restored


def test_nothing_is_left_when_the_coordinator_is_killed(env: dict[str, str], tmp_path: Path) -> None:
    # a shell between terminal and command: it has the terminal again when the command is gone
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", cwd=tmp_path, env=env, shell=True) as shown,
    ):
        shown.wait_for("20/20")
        (coordinator,) = children_of(shown.process.pid)
        left = children_of(coordinator)
        assert len(left) == 3
        os.kill(coordinator, signal.SIGKILL)
        shown.wait_for("the coordinator of the run has ended")
        wait_until_gone(left)
        shown.press("\n")
        shown.finish()
        assert shown.restored
        assert run_directory.running() == []


@pytest.mark.slow
def test_a_screen_that_hangs_holds_nothing_up(env: dict[str, str], tmp_path: Path) -> None:
    with (
        mock_server() as server,
        terminal("--url", server.url, *LOAD, "--duration", "60s", "--output", "o.json", cwd=tmp_path, env=env) as shown,
    ):
        shown.wait_for("20/20")
        os.kill(viewer_of(shown), signal.SIGSTOP)
        shown.process.terminate()
        assert shown.finish() == 143
        assert shown.restored
    assert summary_in(tmp_path / "o.json")["ended_by"] == "signal"
