"""Writes the reports of a run for CI systems: JUnit XML, and the summary page of a job of GitHub Actions."""

from collections.abc import Mapping
from pathlib import Path

from llmstress.coordinator.config.errors import ExitCode
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.junit import junit
from llmstress.coordinator.output.step_summary import append_step_summary, step_summary, step_summary_file
from llmstress.coordinator.output.summary import write_atomically
from llmstress.coordinator.run.conductor import Result
from llmstress.coordinator.run.ending import exit_code_reason


def write_reports(options: Options, result: Result, environ: Mapping[str, str], console: Console) -> bool:
    """Write the reports that were asked for. Returns False if the file of `--junit` could not be written."""
    summary = result.summary
    if (path := step_summary_file(environ)) is not None:
        reason = exit_code_reason(options, summary, result.exit_code) or f"exit code {result.exit_code:d}"
        try:
            append_step_summary(path, step_summary(summary, reason))
        except OSError as error:
            console.warn(f"the step summary of GitHub Actions could not be written: {error}")
    if options.junit is None:
        return True
    failure = "" if result.run_code is ExitCode.OK else _failure(options, result)
    try:
        report = junit(summary, failure, undecided_passes=options.undecided == "pass")
        write_atomically(Path(options.junit), report)
    except OSError as error:
        console.warn(f"--junit {options.junit}: {error}")
        return False
    return True


def _failure(options: Options, result: Result) -> str:
    code = result.run_code
    reason = exit_code_reason(options, result.summary, code)
    return reason or f"{code.meaning}; exit code {code:d}"
