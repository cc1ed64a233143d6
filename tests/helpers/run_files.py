"""Runs that are written in a file: their options, and their errors."""

from pathlib import Path

import pytest

from llmstress.coordinator.commands import cli
from llmstress.coordinator.commands.defaults import options_of
from llmstress.coordinator.config.options import Options


def options(place: Path, text: str, *arguments: str) -> Options:
    (place / "run.toml").write_text(text)
    return options_of(
        cli.cli.make_context("llmstress", ["--config", "run.toml", *arguments]).params, cores=4, most_streams=1000
    )


def refused(capsys: pytest.CaptureFixture[str], place: Path, text: str, *arguments: str) -> str:
    (place / "run.toml").write_text(text)
    assert cli.run(["--config", "run.toml", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.removeprefix("llmstress: ").rstrip("\n")
