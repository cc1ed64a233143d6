"""Where flags are set besides the command line."""

import click

from llmstress.coordinator.commands.arguments.group import group
from llmstress.coordinator.config.presets import PRESETS

configuration_options = group(
    "Configuration",
    click.option(
        "--config",
        type=click.Path(),
        expose_value=False,
        metavar="FILE",
        help="Read flags from a TOML file, e.g. max-tokens = 256; - reads stdin. Flags and LLMSTRESS_... variables "
        "(LLMSTRESS_MAX_TOKENS=256) replace its values. `llmstress config` prints such a file.",
    ),
    click.option(
        "--preset",
        type=click.Choice([*PRESETS]),
        help="Prompt, answer length, think time and SLOs of a usual load, where nothing else sets them.",
    ),
)
"""Where flags are set besides the command line."""

probed_task_option = click.option(
    "--task", metavar="NAME", help="Probe this task of the file ([[task]]); by default the first one."
)
"""Which of several tasks is probed."""
