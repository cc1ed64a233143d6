"""What the prompts of a run need before it begins: indexes of files, and words of tokenizers."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from llmstress.coordinator.config.errors import naming
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.prompts.read import PromptFacts, read_prompts
from llmstress.coordinator.prompts.source import PromptSource, source_of
from llmstress.coordinator.prompts.tokenizer import Vocabulary, read_vocabulary


class Prepared(msgspec.Struct, frozen=True):
    """The files that the prompts of all tasks of a run need, each read once."""

    files: Mapping[PromptSource, PromptFacts] = {}
    vocabularies: Mapping[str, Vocabulary] = {}
    """File of a tokenizer -> words of one token each."""

    def file(self, options: Options) -> PromptFacts | None:
        """What is known of the options' file of prompts; None: they have none."""
        source = source_of(options)
        return None if source is None else self.files[source]

    def vocabulary(self, options: Options) -> Vocabulary:
        """The words of the options' tokenizer, or the common ones."""
        return Vocabulary() if options.tokenizer is None else self.vocabularies[options.tokenizer]


NOTHING_PREPARED = Prepared()


def prepare(
    tasks: Iterable[tuple[str, Options]],
    environ: Mapping[str, str],
    otherwise: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Read what the prompts of these tasks need.

    tasks: name of each, for messages, and its options.

    Raises:
        UsageError, CouldNotStart: a file can't be used: see `read_prompts` and `read_vocabulary`.
    """
    files: dict[PromptSource, PromptFacts] = {}
    vocabularies: dict[str, Vocabulary] = {}
    for name, options in tasks:
        source, tokenizer = source_of(options), options.tokenizer
        with naming(name):
            if source is not None and source not in files:
                files[source] = read_prompts(source, environ, otherwise, say)
            if tokenizer is not None and tokenizer not in vocabularies:
                vocabularies[tokenizer] = read_vocabulary(tokenizer)
    return Prepared(files, vocabularies)
