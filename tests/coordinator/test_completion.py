"""The completion of shells: real shells in a terminal load the script and complete what is typed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.terminal import Terminal, terminal

from llmstress.coordinator.commands import cli

pytestmark = pytest.mark.slow

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(llmstress completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit; compinit -u -D; eval "$(llmstress completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "llmstress completion fish | source"),
}
"""Shell -> how it is started without the user's settings, and how it loads the script."""

COMPLETED = [
    ("con", "config"),
    ("--api anth", "--api anthropic"),
    ("http://h:1 --preset lo", "--preset long-context"),
    ("config --prompt - --require-f", "--prompt - --require-finish"),
    ("probe --config onl", "--config only.toml"),
    ("completion fi", "completion fish"),
]
"""What is typed after `llmstress`, and what it becomes."""


def load(shell: Terminal, script: str) -> None:
    """Load the completion script; the answer of `echo` shows that the shell is ready."""
    shell.press(f"{script}; clear; echo rea''dy\n")
    shell.wait_for("ready")


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "only.toml").touch()
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "llmstress").write_text(f'#!/bin/sh\nexec {sys.executable} -m llmstress "$@"\n')
    (bin_ / "llmstress").chmod(0o755)
    program, script = SHELLS[name]
    env = {"PATH": f"{bin_}:{os.environ['PATH']}", "PS1": "$ ", "HOME": str(tmp_path)}
    with terminal(program=program, cwd=tmp_path, env=env) as shell:
        load(shell, script)
        for typed, completed in COMPLETED:
            shell.press(f"llmstress {typed}\t")
            shell.wait_for(completed)
            shell.press("\x15")  # clears the line
        shell.press("exit\n")
        shell.finish()


def test_completion_reads_neither_stdin_nor_files(tmp_path: Path) -> None:
    words = "llmstress --prompt - --system @none --extra-body - --prompt-ids - --mod"
    completing = {"_LLMSTRESS_COMPLETE": "bash_complete", "COMP_WORDS": words.replace(" ", "\n"), "COMP_CWORD": "9"}
    reading, writing = os.pipe()  # nothing is ever written
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w"):
        done = subprocess.run(
            [sys.executable, "-m", "llmstress"],
            stdin=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **completing, "LLMSTRESS_CONFIG": str(tmp_path / "none")},
            timeout=60,
        )
    assert (done.stdout, done.stderr) == ("plain,--model\nplain,--models\n", "")


def test_scripts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for name in SHELLS:
        assert cli.run(["completion", name]) == 0
        assert "_LLMSTRESS_COMPLETE" in capsys.readouterr().out
