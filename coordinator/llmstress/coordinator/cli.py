"""The command line: arguments -> options -> run -> report -> exit code."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from llmstress.coordinator.errors import ExitCode, LlmstressError, UsageError
from llmstress.coordinator.flags import (
    Duration,
    Header,
    JsonObject,
    MaxErrorsType,
    ResolveType,
    SectionedGroup,
    section,
)
from llmstress.coordinator.mock_command import mock

LONGEST = 600
"""Characters of a sentence that says what is wrong: it may quote what was given."""

DEFAULT_PROMPT = "Write a short story about a lighthouse keeper who finds a message in a bottle."


@click.group(cls=SectionedGroup, invoke_without_command=True, context_settings={"max_content_width": 110})
@section("Target")
@click.option("--url", help="Host, .../v1 or full endpoint. Without it a built-in mock LLM is started and loaded.")
@click.option("--model", help="Model to ask for; may be left out if the target lists just one.")
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the API key to send.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    type=Header(),
    metavar="'K: V'",
    help="Header to add; 'K: env:NAME' takes the value from the environment. Repeatable.",
)
@click.option("--no-probe", "probe", flag_value=False, default=True, help="Don't ask the target for its models first.")
@section("Load")
@click.option("--procs", type=int, metavar="P", help="Worker processes.  [default: the cores this process may use]")
@click.option("--streams", type=int, metavar="S", help="Open streams per process.  [default: 100]")
@click.option("--total-streams", "total", type=int, metavar="N", help="Open streams of all processes together.")
@click.option("--duration", "duration_s", type=Duration(), help="Length of the steady window.  [default: 60s]")
@click.option("--requests", type=int, metavar="N", help="End after N requests in all; the window is the whole run.")
@click.option(
    "--ramp-up",
    "ramp_up_s",
    type=Duration(),
    help="Time over which the streams start.  [default: what opening the connections takes, if that is over a second]",
)
@click.option(
    "--warmup",
    "warmup_s",
    type=Duration(),
    default="0s",
    show_default=True,
    help="Time between ramp and window that isn't measured.",
)
@click.option(
    "--grace",
    "grace_s",
    type=Duration(),
    default="30s",
    show_default=True,
    help="At the end, how long open requests may take to finish.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Start of the random numbers.")
@section("Request")
@click.option("--prompt", default=DEFAULT_PROMPT, metavar="TEXT", help="User message.")
@click.option("--system", metavar="TEXT", help="System message.")
@click.option("--max-tokens", type=int, default=128, show_default=True, metavar="N", help="Limit of output tokens.")
@click.option("--no-stream", "stream", flag_value=False, default=True, help="Ask for one JSON answer, not a stream.")
@click.option("--no-usage", "usage", flag_value=False, default=True, help="Don't ask for token counts in the stream.")
@click.option(
    "--extra-body",
    type=JsonObject(),
    default="{}",
    metavar="JSON",
    help="Merged into the request body; a null removes a key.",
)
@section("Connection")
@click.option("--proxy", metavar="URL", help="HTTP proxy; `none` ignores what the environment says.")
@click.option("--unix-socket", type=click.Path(), metavar="PATH", help="Connect to this socket, whatever the host.")
@click.option(
    "--resolve",
    multiple=True,
    type=ResolveType(),
    help="Where the host is, instead of asking DNS; connections are spread over the addresses. Repeatable.",
)
@click.option(
    "--source-ip",
    "source_ips",
    multiple=True,
    metavar="ADDR",
    help="Local address to connect from: each has about 28,000 ports. Repeatable; loopback targets need none.",
)
@click.option("--no-keepalive", "keepalive", flag_value=False, default=True, help="A new connection for each request.")
@click.option("--requests-per-connection", type=int, metavar="N", help="Close a connection after N requests.")
@click.option("--cacert", type=click.Path(), metavar="FILE", help="Trust these authorities (PEM) for https.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@click.option("--cert", type=click.Path(), metavar="FILE", help="Client certificate (PEM).")
@click.option("--key", type=click.Path(), metavar="FILE", help="Its private key, unless it is in the same file.")
@section("Limits")
@click.option(
    "--timeout-connect",
    "timeout_connect_s",
    type=Duration(),
    default="10s",
    show_default=True,
    help="For a connection; 0 switches this and the next ones off.",
)
@click.option(
    "--timeout-first-token",
    "timeout_first_token_s",
    type=Duration(),
    default="0",
    show_default=True,
    help="From the start of a request to its first token.",
)
@click.option(
    "--timeout-idle", "timeout_idle_s", type=Duration(), default="120s", show_default=True, help="Without any event."
)
@click.option(
    "--timeout-total", "timeout_total_s", type=Duration(), default="0", show_default=True, help="For a whole request."
)
@click.option(
    "--error-pause",
    "error_pause_s",
    type=Duration(),
    default="1s",
    show_default=True,
    help="Rest of a stream after a failure, ±50 %; outside every latency.",
)
@click.option(
    "--max-errors",
    type=MaxErrorsType(),
    metavar="N|P%",
    help="End the run at N failed requests, or at P % of (at least 100) finished ones.",
)
@click.option(
    "--max-total-tokens",
    type=int,
    metavar="N",
    help="End the run at N tokens, input and output together, failed answers included.",
)
@section("Output")
@click.option("--headless", is_flag=True, help="No screen, and the JSON summary on stdout even if that is a terminal.")
@click.option("--tui", is_flag=True, help="The screen, even if TERM is dumb or CI is set.")
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write the JSON summary to FILE too.")
@click.option(
    "--record", type=click.Path(dir_okay=False), metavar="FILE", help="Keep the run for `llmstress replay FILE`."
)
@click.option("--verbose", is_flag=True, help="Say on stderr what the workers do.")
@click.option("--log-file", type=click.Path(dir_okay=False), metavar="FILE", help="Write all that is said to FILE.")
@click.option("--histograms", is_flag=True, help="Put the histograms into the summary on stdout too.")
@click.option(
    "--interval", "interval_s", type=Duration(), default="250ms", show_default=True, help="How often workers report."
)
@section("Other")
@click.version_option(package_name="llmstress", prog_name="llmstress")
@click.pass_context
def cli(context: click.Context, /, **arguments: Any) -> int:
    """Load an LLM API with thousands of streams, and say truthfully what it does.

    \b
    llmstress                                             show everything working, against a built-in mock
    llmstress --url http://localhost:8000 --model m       100 streams per core, 60 s
    llmstress --url ... --procs 16 --streams 4000         16 × 4000 = 64,000 streams
    """
    if context.invoked_subcommand is not None:
        return ExitCode.OK
    from llmstress.coordinator.command import run_command  # the engine's imports take longer than --help may

    return run_command(arguments)


cli.add_command(mock)


@cli.command()
@click.argument("pid", type=int, required=False)
@click.option("--control", is_flag=True, help="Steer the run, too; without this the screen only looks on.")
@click.option("--list", "only_list", is_flag=True, help="List the runs and leave.")
def attach(pid: int | None, *, control: bool, only_list: bool) -> int:
    """Show a run that was started elsewhere, on this machine by this user; PID says which if there are several."""
    from llmstress.coordinator.attach import attach_command

    return attach_command(pid, control=control, only_list=only_list)


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--speed", type=click.FloatRange(0.25, 64), default=1.0, show_default=True, help="How fast.")
def replay(file: str, speed: float) -> int:
    """Show a run again that was kept with --record."""
    from llmstress.coordinator.attach import replay_command

    return replay_command(file, speed)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: run the command, print one sentence for a known error, exit with its code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command line `argv`; gives the exit code."""
    try:
        return int(cli.main(list(argv), prog_name="llmstress", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        return ExitCode.SIGINT
    except click.ClickException as error:
        return _report(UsageError(error.format_message()))
    except LlmstressError as error:
        return _report(error)


def _report(error: LlmstressError) -> int:
    text = " ".join(str(error).split())
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 150]} … {text[-150:]}"
    print(f"llmstress: {text}", file=sys.stderr)
    return error.exit_code
