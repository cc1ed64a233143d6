"""The target, its API and its headers."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.commands.click_types import HEADER, MODELS


def _names_of_apis(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The APIs whose names begin with what was typed, for the completion of shells."""
    from llmstress.engine.api import names_of_apis  # importing the engine would slow down --help

    return [name for name in names_of_apis() if name.startswith(incomplete)]


target_options = group(
    "Target",
    click.option(
        "--url",
        help="Target: a host, a base URL ending in /v1, or a full endpoint; can be given without the flag. "
        "Without a target the built-in mock LLM is loaded.",
    ),
    click.option(
        "--api",
        metavar="NAME",
        shell_complete=_names_of_apis,
        help="API of the target: openai-chat, openai-completions, openai-responses, openai-embeddings, anthropic, "
        "azure-openai, sse, text, http.  [default: guessed from the URL, else openai-chat]",
    ),
    click.option("--model", help="Model to request. It may be left out if the target lists exactly one."),
    click.option(
        "--models",
        type=MODELS,
        help="Several models with weights, e.g. lora-a=3,lora-b=1; each is a task with figures of its own.",
    ),
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

model_listing_options = group(
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
