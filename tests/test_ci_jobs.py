"""The jobs on docs/ci.md: their shell lines run as they stand there, against the built-in mock."""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.processes import DEADLINE_S

PAGE = (Path(__file__).parents[1] / "docs/ci.md").read_text("utf-8")

JOBS = re.findall(r"^<!-- tested by tests/test_ci_jobs.py -->\n```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def shell_of(job: str) -> str:
    """The lines of the job's multi-line script."""
    [found] = re.findall(r"^( +)\S.*\|\n((?:\1 +.*\n)+)", job, re.MULTILINE)
    return textwrap.dedent(found[1])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run(script: str, directory: Path) -> tuple[int, str]:
    """Exit code and stderr of the script, run as a job does: it ends at the first failure. Its server is ended, too."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(directory / "page.md")}
    job = subprocess.Popen(
        ["bash", "-e", "-o", "pipefail", "-c", script.replace("8000", str(free_port()))],
        cwd=directory,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        code = job.wait(DEADLINE_S)
    finally:
        os.killpg(job.pid, signal.SIGTERM)
    _, said = job.communicate(timeout=DEADLINE_S)
    return code, said


def test_both_jobs_are_found_and_have_the_same_script() -> None:
    assert len(JOBS) == 2
    assert shell_of(JOBS[0]) == shell_of(JOBS[1])
    assert shell_of(JOBS[0]).count("llmstress ") == 3


@pytest.mark.slow
def test_the_job_passes_and_writes_its_reports(tmp_path: Path) -> None:
    code, said = run(shell_of(JOBS[0]), tmp_path)
    assert code == 0, said
    suites = ElementTree.parse(tmp_path / "llmstress.xml").getroot()
    assert (suites.get("tests"), suites.get("failures"), suites.get("skipped")) == ("4", "0", "0")
    page = (tmp_path / "page.md").read_text("utf-8")
    assert "| passed | `ttft.p99>2s` |" in page
    assert (tmp_path / "llmstress.json").exists()


@pytest.mark.slow
def test_the_job_fails_if_a_threshold_is_crossed(tmp_path: Path) -> None:
    code, said = run(shell_of(JOBS[1]).replace("ttft.p99>2s", "ttft.p99>20ms"), tmp_path)
    assert code == 99, said
    suites = ElementTree.parse(tmp_path / "llmstress.xml").getroot()
    [failed] = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == "ttft.p99>20ms"
    assert "| failed | `ttft.p99>20ms` |" in (tmp_path / "page.md").read_text("utf-8")
