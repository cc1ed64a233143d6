"""The arguments of the commands, in groups that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmstress.coordinator.commands.click_types import (
    HEADER,
    JSON_OBJECT,
    MAX_ERRORS,
    ON_STATUS,
    RESOLVE,
    TEXT,
    TOKEN_IDS,
    Duration,
    section,
)

DEFAULT_PROMPT = "Write a short story about a lighthouse keeper who finds a message in a bottle."

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _group(title: str, *options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """A decorator that adds `options` to a command, as the section `title` of its help page."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return section(title)(command)

    return add


target_options = _group(
    "Target",
    click.option(
        "--url",
        help="Target: a host, a base URL ending in /v1, or a full endpoint; can be given without the flag. "
        "Without a target the built-in mock LLM is loaded.",
    ),
    click.option(
        "--api",
        metavar="NAME",
        help="API of the target: openai-chat, openai-completions, openai-responses, openai-embeddings, anthropic, "
        "azure-openai, sse, text, http.  [default: guessed from the URL, else openai-chat]",
    ),
    click.option("--model", help="Model to request. It may be left out if the target lists exactly one."),
    click.option("--api-key-env", metavar="NAME", help="Name of the environment variable that holds the API key."),
    click.option(
        "--header",
        "headers",
        multiple=True,
        type=HEADER,
        metavar="'K: V'",
        help="Header to add. 'K: env:NAME' takes the value from an environment variable. Repeatable.",
    ),
)
"""The target, its API, and the headers."""

model_listing_options = _group(
    "Target",
    click.option(
        "--no-probe",
        "probe",
        flag_value=False,
        default=True,
        help="Don't ask the target for its models before the run.",
    ),
)
"""The request for the target's models before a run."""

load_options = _group(
    "Load",
    click.option(
        "--procs", type=int, metavar="P", help="Worker processes.  [default: one for each available CPU core]"
    ),
    click.option("--streams", type=int, metavar="S", help="Open streams in each process."),
    click.option(
        "--total-streams",
        "total",
        type=int,
        metavar="N",
        help="Open streams in all processes together.  [default: 100, or --streams × --procs]",
    ),
    click.option(
        "--duration",
        "duration_s",
        type=Duration(),
        help="Length of the steady window, in which figures are measured.  [default: 60s]",
    ),
    click.option("--requests", type=int, metavar="N", help="End the run after N requests, not counting a warm-up."),
    click.option(
        "--ramp-up",
        "ramp_up_s",
        type=Duration(),
        help="Time over which the streams start.  [default: the time needed to open the connections, if over 1 s]",
    ),
    click.option(
        "--warmup",
        "warmup_s",
        type=Duration(),
        default="0s",
        show_default=True,
        help="Time after the ramp-up that is not measured.",
    ),
    click.option(
        "--warmup-requests",
        type=int,
        metavar="N",
        help="Instead of --warmup: start to measure when N requests have ended.",
    ),
    click.option(
        "--grace",
        "grace_s",
        type=Duration(),
        default="30s",
        show_default=True,
        help="How long open requests may take to finish at the end of the run.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random numbers."),
)
"""Size and length of the load."""

request_options = _group(
    "Request",
    click.option(
        "--prompt",
        type=TEXT,
        default=DEFAULT_PROMPT,
        metavar="TEXT",
        help="User message. @FILE reads it from a file, - from stdin; a text that begins with @ is written with @@.",
    ),
    click.option("--system", type=TEXT, metavar="TEXT", help="System message; @FILE and - as for --prompt."),
    click.option("--max-tokens", type=int, metavar="N", help="Maximum number of output tokens.  [default: 128]"),
    click.option(
        "--no-stream",
        "stream",
        flag_value=False,
        default=True,
        help="Request a single JSON answer instead of a stream.",
    ),
    click.option(
        "--no-usage", "usage", flag_value=False, default=True, help="Don't request token counts in the stream."
    ),
    click.option(
        "--extra-body",
        type=JSON_OBJECT,
        default="{}",
        metavar="JSON",
        help="JSON object to merge into the request body; null removes a key. @FILE reads it from a file.",
    ),
)
"""The content of a request."""

api_options = _group(
    "API-specific",
    click.option(
        "--prompt-ids",
        type=TOKEN_IDS,
        default="",
        metavar="ID,ID...",
        help="Token ids to send instead of --prompt. @FILE reads them from a file.",
    ),
    click.option("--min-tokens", type=int, metavar="N", help="Minimum number of output tokens (vLLM, SGLang)."),
    click.option(
        "--ignore-eos",
        is_flag=True,
        help="Ignore end-of-sequence; generate exactly --max-tokens (vLLM, SGLang, llama.cpp).",
    ),
    click.option(
        "--limit-field",
        type=click.Choice(["max_tokens", "max_completion_tokens"]),
        help="Request field that carries --max-tokens.  [default: max_completion_tokens for OpenAI and Azure]",
    ),
    click.option(
        "--batch", type=int, default=1, show_default=True, metavar="N", help="Inputs per request (embeddings)."
    ),
    click.option("--encoding", type=click.Choice(["float", "base64"]), help="Encoding of the vectors (embeddings)."),
    click.option(
        "--auth",
        type=click.Choice(["bearer", "x-api-key", "api-key"]),
        help="How the API key is sent.  [default: as the API specifies]",
    ),
    click.option("--api-version", default="", metavar="DATE", help="API version (anthropic, azure-openai)."),
    click.option(
        "--method",
        default="",
        metavar="NAME",
        help="HTTP method (sse, text, http).  [default: POST with --body, else GET]",
    ),
    click.option(
        "--body",
        type=TEXT,
        metavar="TEMPLATE",
        help="Body to send (sse, text, http); {prompt} and {model} are filled in. @FILE reads it from a file.",
    ),
    click.option(
        "--text",
        default="",
        metavar="PATH",
        help="Path to the text in an event's JSON, e.g. choices.0.text (sse).  [default: all data of the event]",
    ),
    click.option(
        "--done",
        default="",
        metavar="DATA",
        help="Data of the event that ends the stream (sse).  [default: [DONE], or the end of the body]",
    ),
    click.option(
        "--error-event",
        default="",
        metavar="NAME",
        help="Name of the events that report errors (sse).  [default: error]",
    ),
)
"""Options that only some APIs support; `target/api_choice.py` refuses them for the others."""

connection_options = _group(
    "Connection",
    click.option(
        "--proxy", metavar="URL", help="URL of an HTTP proxy; `none` ignores proxy variables in the environment."
    ),
    click.option(
        "--unix-socket",
        type=click.Path(),
        metavar="PATH",
        help="Connect to this Unix socket instead of the host of the URL.",
    ),
    click.option(
        "--resolve",
        multiple=True,
        type=RESOLVE,
        help="Addresses to use for the host instead of DNS; connections are spread over them. Repeatable.",
    ),
    click.option(
        "--source-ip",
        "source_ips",
        multiple=True,
        metavar="ADDR",
        help="Local address to connect from; each has about 28,000 ports. Repeatable; not needed for loopback targets.",
    ),
    click.option(
        "--no-keepalive", "keepalive", flag_value=False, default=True, help="Open a new connection for each request."
    ),
    click.option("--requests-per-connection", type=int, metavar="N", help="Close a connection after N requests."),
    click.option(
        "--cacert", type=click.Path(), metavar="FILE", help="Certificate authorities (PEM) to trust for https."
    ),
    click.option("--insecure", is_flag=True, help="Accept any certificate of the server."),
    click.option("--cert", type=click.Path(), metavar="FILE", help="Client certificate (PEM)."),
    click.option(
        "--key",
        type=click.Path(),
        metavar="FILE",
        help="Private key of the client certificate, unless --cert contains it.",
    ),
)
"""The network path to the target."""

timeout_options = _group(
    "Limits",
    click.option(
        "--timeout-connect",
        "timeout_connect_s",
        type=Duration(),
        default="10s",
        show_default=True,
        help="Time limit for opening a connection. For all time limits, 0 means no limit.",
    ),
    click.option(
        "--timeout-first-token",
        "timeout_first_token_s",
        type=Duration(),
        default="10m",
        show_default=True,
        help="Time limit from the start of a request to its first token; pings do not extend it. For an answer that is "
        "not streamed: to the beginning of its body.",
    ),
    click.option(
        "--timeout-idle",
        "timeout_idle_s",
        type=Duration(),
        default="120s",
        show_default=True,
        help="Longest time without an event, from the first token on.",
    ),
    click.option(
        "--timeout-total",
        "timeout_total_s",
        type=Duration(),
        default="0",
        show_default=True,
        help="Time limit for a whole request.",
    ),
)
"""Time limits of a request."""

limit_options = _group(
    "Limits",
    click.option(
        "--error-pause",
        "error_pause_s",
        type=Duration(),
        default="1s",
        show_default=True,
        help="Pause of a stream between a failure and its next request, ±50 %; not part of any latency.",
    ),
    click.option(
        "--retries",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Send a request again, up to N times, after a temporary failure (429, 503 and the like).",
    ),
    click.option(
        "--on-status",
        multiple=True,
        type=ON_STATUS,
        metavar="WHAT=ACTION",
        help="Action for a status (529) or a failure class (quota): count, retry, end-first (end the run if no request "
        "succeeded before) or end. Repeatable; the documentation lists the defaults.",
    ),
    click.option(
        "--require-finish",
        is_flag=True,
        help="Count an answer that ends without a finish reason ([DONE] alone) as truncated.",
    ),
    click.option(
        "--max-errors",
        type=MAX_ERRORS,
        metavar="N|P%",
        help="End the run with exit code 6 at N failed requests, or at P % of the finished requests. P % is compared "
        "from 100 finished requests on, and at the end of the run.",
    ),
    click.option(
        "--max-total-tokens",
        type=int,
        metavar="N",
        help="End the run at N tokens, input and output together, including those of failed answers.",
    ),
)
"""What happens after failures, and what ends a run early."""

output_options = _group(
    "Output",
    click.option(
        "--headless", is_flag=True, help="Open no screen; print the JSON summary even if stdout is a terminal."
    ),
    click.option("--tui", is_flag=True, help="Open the screen even if TERM is dumb or CI is set."),
    click.option(
        "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Also write the JSON summary to FILE."
    ),
    click.option(
        "--record", type=click.Path(dir_okay=False), metavar="FILE", help="Record the run for `llmstress replay FILE`."
    ),
    click.option("--quiet", is_flag=True, help="Print no progress lines on stderr, only the table at the end."),
    click.option(
        "--progress",
        "progress_s",
        type=Duration(),
        default="1s",
        show_default=True,
        help="Time between two progress lines, in whole seconds.",
    ),
    click.option("--verbose", is_flag=True, help="Print the log messages of the workers on stderr."),
    click.option(
        "--log-file",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Append all messages to FILE, each with the time.",
    ),
    click.option("--histograms", is_flag=True, help="Include the histograms in the summary on stdout."),
    click.option(
        "--interval",
        "interval_s",
        type=Duration(),
        default="250ms",
        show_default=True,
        help="Time between two reports of a worker.",
    ),
)
"""Screen, files and messages of a run."""

view_options = _group(
    "Output",
    click.option("--events", is_flag=True, help="Show all events, not only the first and last ones."),
    click.option("--raw", is_flag=True, help="Also show the bytes of the request and of each read."),
    click.option("--json", is_flag=True, help="Print JSON, for scripts and bug reports; with --raw it has the bytes."),
)
"""The output of `llmstress probe`."""
