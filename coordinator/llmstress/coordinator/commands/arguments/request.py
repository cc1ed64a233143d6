"""The content of a request."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import JSON_OBJECT, TEXT, TOKEN_IDS
from llmstress.coordinator.config.prompt_options import DEFAULT_PROMPT

request_options = group(
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

api_options = group(
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
