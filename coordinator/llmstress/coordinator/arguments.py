"""The arguments of the commands, in groups: what a click command shares with others, it takes from here."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmstress.coordinator.flags import (
    HEADER,
    JSON_OBJECT,
    MAX_ERRORS,
    ON_STATUS,
    RESOLVE,
    TOKEN_IDS,
    Duration,
    section,
)

DEFAULT_PROMPT = "Write a short story about a lighthouse keeper who finds a message in a bottle."

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _group(title: str, *options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """One decorator that adds these options, as a section of the help page."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return section(title)(command)

    return add


target_options = _group(
    "Target",
    click.option("--url", help="Host, .../v1 or full endpoint. Without it a built-in mock LLM is the target."),
    click.option(
        "--api",
        metavar="NAME",
        help="Wire protocol: openai-chat, openai-completions, openai-responses, openai-embeddings, anthropic, "
        "azure-openai, sse, text, http.  [default: what the URL says, else openai-chat]",
    ),
    click.option("--model", help="Model to ask for; may be left out if the target lists just one."),
    click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the API key to send."),
    click.option(
        "--header",
        "headers",
        multiple=True,
        type=HEADER,
        metavar="'K: V'",
        help="Header to add; 'K: env:NAME' takes the value from the environment. Repeatable.",
    ),
)
"""Where requests go, and what is spoken there."""

inquiry_options = _group(
    "Target",
    click.option(
        "--no-probe", "probe", flag_value=False, default=True, help="Don't ask the target for its models first."
    ),
)
"""What is asked of the target before a run."""

load_options = _group(
    "Load",
    click.option("--procs", type=int, metavar="P", help="Worker processes.  [default: the cores this process may use]"),
    click.option("--streams", type=int, metavar="S", help="Open streams per process.  [default: 100]"),
    click.option("--total-streams", "total", type=int, metavar="N", help="Open streams of all processes together."),
    click.option("--duration", "duration_s", type=Duration(), help="Length of the steady window.  [default: 60s]"),
    click.option("--requests", type=int, metavar="N", help="End after N requests in all; the window is the whole run."),
    click.option(
        "--ramp-up",
        "ramp_up_s",
        type=Duration(),
        help="Time over which the streams start.  [default: what opening the connections takes, if over 1 s]",
    ),
    click.option(
        "--warmup",
        "warmup_s",
        type=Duration(),
        default="0s",
        show_default=True,
        help="Time between ramp and window that isn't measured.",
    ),
    click.option(
        "--grace",
        "grace_s",
        type=Duration(),
        default="30s",
        show_default=True,
        help="At the end, how long open requests may take to finish.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Start of the random numbers."),
)
"""How much, how long."""

request_options = _group(
    "Request",
    click.option("--prompt", default=DEFAULT_PROMPT, metavar="TEXT", help="User message."),
    click.option("--system", metavar="TEXT", help="System message."),
    click.option("--max-tokens", type=int, metavar="N", help="Limit of output tokens.  [default: 128]"),
    click.option(
        "--no-stream", "stream", flag_value=False, default=True, help="Ask for one JSON answer, not a stream."
    ),
    click.option(
        "--no-usage", "usage", flag_value=False, default=True, help="Don't ask for token counts in the stream."
    ),
    click.option(
        "--extra-body",
        type=JSON_OBJECT,
        default="{}",
        metavar="JSON",
        help="Merged into the request body; a null removes a key.",
    ),
)
"""What is asked."""

api_options = _group(
    "What only some APIs know",
    click.option(
        "--prompt-ids", type=TOKEN_IDS, default="", metavar="ID,ID...", help="Token ids, instead of --prompt."
    ),
    click.option("--min-tokens", type=int, metavar="N", help="Least output tokens (vLLM, SGLang)."),
    click.option(
        "--ignore-eos", is_flag=True, help="Go on to --max-tokens whatever the model says (vLLM, SGLang, llama.cpp)."
    ),
    click.option(
        "--limit-field",
        type=click.Choice(["max_tokens", "max_completion_tokens"]),
        help="What the limit of output tokens is called.  [default: max_completion_tokens for OpenAI and Azure]",
    ),
    click.option(
        "--batch", type=int, default=1, show_default=True, metavar="N", help="Inputs of one request (embeddings)."
    ),
    click.option("--encoding", type=click.Choice(["float", "base64"]), help="How vectors are sent (embeddings)."),
    click.option(
        "--auth",
        type=click.Choice(["bearer", "x-api-key", "api-key"]),
        help="How the key is sent.  [default: the API's own way]",
    ),
    click.option("--api-version", default="", metavar="DATE", help="Version of the API (anthropic, azure-openai)."),
    click.option(
        "--method",
        default="",
        metavar="NAME",
        help="HTTP method (sse, text, http).  [default: POST with --body, else GET]",
    ),
    click.option(
        "--body", metavar="TEMPLATE", help="Body to send (sse, text, http); {prompt} and {model} are filled in."
    ),
    click.option(
        "--text",
        default="",
        metavar="PATH",
        help="Where an event has its text, as choices.0.text (sse).  [default: all of it]",
    ),
    click.option(
        "--done",
        default="",
        metavar="DATA",
        help="The event that ends the stream (sse).  [default: [DONE] or the body's end]",
    ),
    click.option("--error-event", default="", metavar="NAME", help="Events that are errors (sse).  [default: error]"),
)
"""See `asking.FLAGS`."""

connection_options = _group(
    "Connection",
    click.option("--proxy", metavar="URL", help="HTTP proxy; `none` ignores what the environment says."),
    click.option("--unix-socket", type=click.Path(), metavar="PATH", help="Connect to this socket, whatever the host."),
    click.option(
        "--resolve",
        multiple=True,
        type=RESOLVE,
        help="Where the host is, instead of asking DNS; connections are spread over the addresses. Repeatable.",
    ),
    click.option(
        "--source-ip",
        "source_ips",
        multiple=True,
        metavar="ADDR",
        help="Local address to connect from: each has about 28,000 ports. Repeatable; loopback targets need none.",
    ),
    click.option(
        "--no-keepalive", "keepalive", flag_value=False, default=True, help="A new connection for each request."
    ),
    click.option("--requests-per-connection", type=int, metavar="N", help="Close a connection after N requests."),
    click.option("--cacert", type=click.Path(), metavar="FILE", help="Trust these authorities (PEM) for https."),
    click.option("--insecure", is_flag=True, help="Accept any certificate."),
    click.option("--cert", type=click.Path(), metavar="FILE", help="Client certificate (PEM)."),
    click.option("--key", type=click.Path(), metavar="FILE", help="Its private key, unless it is in the same file."),
)
"""The way to the target."""

timeout_options = _group(
    "Limits",
    click.option(
        "--timeout-connect",
        "timeout_connect_s",
        type=Duration(),
        default="10s",
        show_default=True,
        help="For a connection; 0 switches this and the next ones off.",
    ),
    click.option(
        "--timeout-first-token",
        "timeout_first_token_s",
        type=Duration(),
        default="10m",
        show_default=True,
        help="From the start of a request to its first token, whatever pings come; of an answer that is not streamed, "
        "until its body begins.",
    ),
    click.option(
        "--timeout-idle",
        "timeout_idle_s",
        type=Duration(),
        default="120s",
        show_default=True,
        help="From the first token on: time without any event.",
    ),
    click.option(
        "--timeout-total",
        "timeout_total_s",
        type=Duration(),
        default="0",
        show_default=True,
        help="For a whole request.",
    ),
)
"""When a request is given up."""

limit_options = _group(
    "Limits",
    click.option(
        "--error-pause",
        "error_pause_s",
        type=Duration(),
        default="1s",
        show_default=True,
        help="Rest of a stream after a failure, ±50 %; outside every latency.",
    ),
    click.option(
        "--retries",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Send a request again, up to N times, after a failure that may pass (429, 503 and the like).",
    ),
    click.option(
        "--on-status",
        multiple=True,
        type=ON_STATUS,
        metavar="WHAT=DO",
        help="What a status (529) or class (quota) does: count, retry, end-first (end the run if nothing was good "
        "before) or end. Repeatable; see README for the defaults.",
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
        help="End the run at N failed requests, or at P % of (at least 100) finished ones.",
    ),
    click.option(
        "--max-total-tokens",
        type=int,
        metavar="N",
        help="End the run at N tokens, input and output together, failed answers included.",
    ),
)
"""When streams rest, and when a run is given up."""

output_options = _group(
    "Output",
    click.option(
        "--headless", is_flag=True, help="No screen, and the JSON summary on stdout even if that is a terminal."
    ),
    click.option("--tui", is_flag=True, help="The screen, even if TERM is dumb or CI is set."),
    click.option(
        "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write the JSON summary to FILE too."
    ),
    click.option(
        "--record", type=click.Path(dir_okay=False), metavar="FILE", help="Keep the run for `llmstress replay FILE`."
    ),
    click.option("--verbose", is_flag=True, help="Say on stderr what the workers do."),
    click.option("--log-file", type=click.Path(dir_okay=False), metavar="FILE", help="Write all that is said to FILE."),
    click.option("--histograms", is_flag=True, help="Put the histograms into the summary on stdout too."),
    click.option(
        "--interval",
        "interval_s",
        type=Duration(),
        default="250ms",
        show_default=True,
        help="How often workers report.",
    ),
)
"""Where results go."""

view_options = _group(
    "Output",
    click.option("--events", is_flag=True, help="Show all events, not only the first and the last."),
    click.option("--raw", is_flag=True, help="Show the bytes, too: the request, and each read as it came."),
    click.option("--json", is_flag=True, help="JSON instead, for scripts and bug reports; with --raw the bytes, too."),
)
"""How a probe is shown."""
