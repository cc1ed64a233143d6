"""Which file of prompts options name, and how it is read."""

import msgspec

from llmstress.coordinator.config.options import Options


class PromptSource(msgspec.Struct, frozen=True):
    """A file of prompts, or a directory of pools. Equal sources have one index."""

    path: str
    format: str | None = None
    """One of `NAMES`; None: the content says it."""
    column: str | None = None
    """Key or column of the prompt; None: that of the format."""
    skip_bad_rows: bool = False


def source_of(options: Options) -> PromptSource | None:
    """The source of the options' prompts; None: they come from no file."""
    if options.prompts is None:
        return None
    return PromptSource(options.prompts, options.prompts_format, options.prompt_column, options.skip_bad_rows)
