"""Users in Python against the mock. What the mock has received and sent is compared with what the run says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import llmstress, mock_server

ALWAYS = ("--headless", "--quiet", "--no-probe", "--proxy", "none", "--error-pause", "10ms", "--model", "mock-7b")

FLOW = """\
from llmstress.scenario import User, task


class Support(User):
    async def on_start(self):
        login = await self.http.post("/login", json={"user": f"u{self.number}"}, name="login")
        self.headers["Authorization"] = f"Bearer {login.json()['token']}"

    @task(3)
    async def ask(self):
        docs = await self.http.post("/search", json={"q": "loop"}, name="search")
        found = docs.json()["documents"][0]["text"]
        answer = await self.chat(f"Context: {found}", max_tokens=5, name="rag")
        answer.check(answer.tokens == 5, "not five tokens")

    @task
    async def tour(self):
        async with self.conversation(system="Be brief.") as talk:
            first = await talk.say("One?", max_tokens=3, name="turn 1")
            second = await talk.say("Two?", max_tokens=3, name="turn 2")
            assert talk.messages[-2]["content"] == first.text
            assert second.ttft_ms <= second.e2e_ms
"""


def run(place: Path, url: str, text: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the summary, and what was printed."""
    file = place / "users.py"
    file.write_text(text)
    return llmstress(url, "--scenario", str(file), *ALWAYS, *arguments)


def steps(summary: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Task and request -> started, ok, failed."""
    return {
        f"{flow['task']}/{row['step']}": (row["started"], row["ok"], row["failed"])
        for flow in summary["flows"]
        for row in flow["steps"]
    }


def task(summary: dict[str, Any], name: str) -> dict[str, Any]:
    """The sessions of a task."""
    found: dict[str, Any]
    [found] = [flow for flow in summary["flows"] if flow["task"] == name]
    return found


@pytest.mark.parametrize("load", [("--total-streams", "5"), ("--rate", "200/s", "--total-streams", "8")])
def test_users_log_in_once_and_do_tasks_by_their_weights(load: tuple[str, ...], tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    with mock_server("--login-required", "--ttft-ms", "1", "--gap-ms", "0.1", "--keep-requests", str(kept)) as mock:
        code, summary, said = run(tmp_path, mock.url, FLOW, *load, "--procs", "2", "--requests", "120")
        truth = mock.stop()
    assert code == 0, said
    came = steps(summary)
    users = came["on_start/login"][0]
    assert truth["application"] == {"logins": users, "searches": came["ask/search"][0]}
    assert users <= (5 if "--rate" not in load else 8)
    assert sum(started for started, _, _ in came.values()) == summary["requests"]["started"]
    assert summary["requests"]["failed"] == 0
    ask, tour = task(summary, "ask"), task(summary, "tour")
    assert abs(ask["started"] - 3 * tour["started"]) <= 2 * 4  # at most one task apart in each worker, times the weight
    assert ask["failed"] == tour["failed"] == 0
    assert ask["completed"] == ask["duration_ms"]["count"]
    bodies = [line["body"] for line in map(json.loads, kept.read_text().splitlines()) if line["event"] == "request"]
    histories = [body["messages"] for body in bodies if body["messages"][-1]["content"] == "Two?"]
    assert histories
    for messages in histories:
        assert [each["role"] for each in messages] == ["system", "user", "assistant", "user"]


WALKS = """\
import asyncio

from llmstress.scenario import User, task


class Reader(User):
    @task
    async def read(self):
        asking = self.chat("Tell.", max_tokens=50, name="left")
        last = None
        async for piece in asking:
            assert last is None or piece.ms >= last.ms
            last = piece
            if piece.index == 2:
                break
        del last
        both = await asyncio.gather(
            self.chat("A", max_tokens=2, name="at once"), self.chat("B", max_tokens=2, name="at once")
        )
        assert [each.tokens for each in both] == [2, 2]
        whole = [piece.text async for piece in self.chat("C", max_tokens=4, name="read")]
        assert len(whole) == 4
"""


def test_who_breaks_out_walks_away_and_several_requests_run_at_once(tmp_path: Path) -> None:
    with mock_server("--ttft-ms", "1", "--gap-ms", "20") as mock:
        code, summary, said = run(tmp_path, mock.url, WALKS, "--total-streams", "8", "--requests", "60")
    assert code == 0, said
    came = steps(summary)
    assert came["read/left"][1:] == (0, 0)
    assert came["read/left"][0] == summary["requests"]["abandoned"] > 5
    assert came["read/at once"][1] == pytest.approx(2 * came["read/read"][1], abs=16)
    assert summary["requests"]["failed"] == 0
    assert summary["errors"] == {}


FAULTY = """\
import asyncio

from llmstress.scenario import User, task


class Broken(User):
    @task
    async def divide(self):
        answer = await self.chat("A", max_tokens=1)
        answer.check(answer.text == "never", "not what was wanted")
        1 / 0

    @task
    async def late(self):
        answer = await self.chat("A", max_tokens=1)
        await asyncio.sleep(0.02)
        answer.check(False)
"""


def test_errors_of_user_code_are_named_and_checks_make_requests_fail(tmp_path: Path) -> None:
    with mock_server("--ttft-ms", "1") as mock:
        _, summary, said = run(tmp_path, mock.url, FAULTY, "--total-streams", "2", "--requests", "12")
    divide, late = task(summary, "divide"), task(summary, "late")
    assert (divide["completed"], late["completed"]) == (0, 0)
    assert summary["requests"]["failed"] == divide["steps"][0]["started"] == divide["steps"][0]["failed"]
    assert late["steps"][0]["ok"] == late["steps"][0]["started"]
    samples = {name: [each["text"] for each in found["samples"]] for name, found in summary["errors"].items()}
    assert samples["validation"] == ["not what was wanted"]
    assert summary["errors"]["scenario"]["count"] == divide["failed"] + late["failed"]
    assert "user-code" in [rule["id"] for rule in summary["verdict"]["rules"]]
    assert sorted(text.partition(": ")[0] for text in samples["scenario"]) == ["users.py, line 11", "users.py, line 17"]
    assert any("ZeroDivisionError" in text for text in samples["scenario"])
    assert any("comes too late" in text for text in samples["scenario"])
    assert "scenario" in said


LEAVES = """\
import asyncio

from llmstress.scenario import User, task


class Passing(User):
    @task
    async def visit(self):
        await self.chat("A", max_tokens=1, name=f"{self.number} {self.random.random()}")
        self.stop()

    async def on_stop(self):
        await self.chat("B", max_tokens=1, name="bye")
        1 / 0


class Staying(User):
    async def on_start(self):
        await self.chat("C", max_tokens=1, name=f"{self.number} {self.random.random()}")

    @task
    async def stay(self):
        async def bug():
            await self.chat("D", max_tokens=1)
            raise LookupError("nobody awaits this")

        asyncio.ensure_future(bug())
        await asyncio.sleep(0.03)

    @task
    async def never_ends(self):
        while True:
            try:
                await self.chat("E", max_tokens=1)
            except BaseException:
                pass
"""


def test_users_who_leave_are_followed_by_others_and_what_goes_on_is_ended(tmp_path: Path) -> None:
    arguments = ("--total-streams", "6", "--procs", "2", "--duration", "0.6s", "--seed", "7")
    with mock_server("--ttft-ms", "1") as mock:
        code, first, said = run(tmp_path, mock.url, LEAVES, *arguments)
        _, second, _ = run(tmp_path, mock.url, LEAVES, *arguments)
        truth = mock.stop()
    assert code == 0, said
    assert "Traceback" not in said
    assert "never retrieved" not in said
    assert truth["requests"] == first["requests"]["started"] + second["requests"]["started"]
    came, again = steps(first), steps(second)
    people = [dict(name.rpartition("/")[2].split(" ") for name in each if " " in name) for each in (came, again)]
    assert {"1", "2", "3", "4", "5", "6"} <= {*people[0]}
    assert all(people[1].get(number, drawn) == drawn for number, drawn in people[0].items())
    left = came["on_stop/bye"][0]
    assert left > 6
    assert 0 <= task(first, "visit")["started"] - left <= 6
    samples = {each["text"].partition(": ")[2].partition(":")[0] for each in first["errors"]["scenario"]["samples"]}
    assert samples == {"ZeroDivisionError", "LookupError"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def broken(:\n", "users.py, line 1: invalid syntax"),
        ("x = 1\n1 / 0\n", "users.py, line 2: ZeroDivisionError: division by zero"),
        ("from llmstress.scenario import User\nclass A(User):\n    pass\n", "no user has a task"),
        ("from llmstress.scenario import User, task\nclass A(User):\n    @task\n    def a(self): ...\n", "async def"),
        (
            "from llmstress.scenario import User, task\nclass A(User):\n    @task(0)\n    async def a(self): ...\n",
            "whole number from 1",
        ),
        ("from llmstress.scenario import between\nbetween('1x', '2s')\n", "'1x' is not a duration"),
        (
            "from llmstress.scenario import User, task\nclass A(User):\n    @task\n    async def a(self):\n"
            "        self.secret('NO_SUCH_SECRET')\n",
            "NO_SUCH_SECRET",
        ),
    ],
)
def test_a_file_that_cant_be_used_is_named_and_nothing_starts(text: str, expected: str, tmp_path: Path) -> None:
    code, summary, said = run(tmp_path, "http://127.0.0.1:9", text, "--requests", "1")
    assert (code, summary) == (2, {})
    assert expected in said


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    code, _, said = llmstress("http://127.0.0.1:9", "--scenario", str(tmp_path / "none.py"), *ALWAYS)
    assert (code, "there is no such file" in said) == (2, True)


CLASSES = """\
from llmstress.scenario import User, task


class Reader(User):
    weight = 3

    @task
    async def read(self):
        await self.http.get("/health", name="look")
        await self.chat("A", max_tokens=2, name="ask")


class Writer(User):
    @task(2)
    async def write(self):
        await self.embeddings("A", name="embed")

    @task
    async def ask(self):
        await self.chat("A", max_tokens=2)
"""


def dry(place: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit code of a dry run, and what it printed."""
    (place / "users.py").write_text(CLASSES)
    command = [sys.executable, "-m", "llmstress", "--scenario", "users.py", "--dry-run", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_dry_run_lists_classes_and_tasks_and_says_that_their_code_makes_the_requests(tmp_path: Path) -> None:
    code, said, errors = dry(tmp_path, "--total-streams", "2", "--duration", "2s")
    assert (code, errors) == (0, "")
    assert "users of users.py: 75 % Reader, 25 % Writer" in said
    assert "weight 9 of 12: 75 %, if the tasks of all users last equally long" in said
    assert "a task of the users Writer: users.py, line 14" in said
    assert said.count("its requests are those that its code makes, so none are shown") == 3
    assert "curl" not in said
    code, said, errors = dry(tmp_path, "--rate", "20/s", "--duration", "3s")
    assert (code, errors) == (0, "")
    assert "task read: about 45 times, as they arrive\n  weight 9 of 12: 75 %\n" in said


@pytest.mark.parametrize(
    "flags",
    [
        ("--prompt", "A"),
        ("--prompts", "users.py"),
        ("--prompt-tokens", "100"),
        ("--output-tokens", "20..30"),
        ("--turns", "3"),
        ("--think-time", "2s"),
        ("--once",),
        ("--models", "a=1,b=2"),
        ("--sweep", "1,2"),
    ],
)
def test_flags_that_users_in_python_would_not_heed_are_refused(flags: tuple[str, ...], tmp_path: Path) -> None:
    code, _, errors = dry(tmp_path, *flags)
    assert code == 2
    assert f"{flags[0]} can't be used with --scenario" in errors


def test_plain_http_and_embeddings_of_users_are_judged_by_no_first_token_and_no_check_of_texts(tmp_path: Path) -> None:
    with mock_server("--ttft-ms", "1") as mock:
        judging = ("--slo", "ttft<60s", "--check", "not-empty")
        code, summary, said = run(
            tmp_path, mock.url, CLASSES, *judging, "--total-streams", "4", "--procs", "1", "--requests", "80"
        )
    assert code == 0, said
    assert {"read/look", "read/ask", "write/embed"} <= steps(summary).keys()
    good = summary["goodput"]
    assert (good["met"], good["unknown"]) == (good["finished"], 0)
    assert [row["goodput"]["share"] for row in summary["tasks"]] == [1.0, 1.0, 1.0]


def test_find_takes_no_scenario(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('scenario = "users.py"\nslo = ["ttft<1s"]\n')
    command = [sys.executable, "-m", "llmstress", "find", "--config", str(file), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "find takes no scenario" in done.stderr
    assert "run.toml, line 1" in done.stderr
