"""Where prompts come from, and how long prompts and answers are: the part of the options that says so."""

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.load_options import LoadOptions
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.order import Order

DEFAULT_PROMPT = "Write a short story about a lighthouse keeper who finds a message in a bottle."


AUTO = 0.0
"""Words per token that the run finds out."""

FEWEST_WORDS, MOST_WORDS = 0.05, 20.0
"""Bounds of the words per token."""


class PromptOptions(LoadOptions, frozen=True, kw_only=True):
    """What requests ask, and the lengths of prompts and answers."""

    prompt: str = DEFAULT_PROMPT
    prompt_ids: tuple[int, ...] = ()
    prompt_tokens: Lengths | None = None
    """Prompts of these lengths are made, instead of `prompt`; None: all requests have `prompt`."""
    output_tokens: Lengths | None = None
    """Limits of output tokens, instead of `max_tokens`."""
    shared_prefix_tokens: int = 0
    """Tokens at the begin of the made prompts of a group that are the same."""
    prefix_groups: int = 1
    words_per_token: float = AUTO
    """Words of made prompts for each token of their length; `AUTO`: 1, corrected by what the server counts."""
    tokenizer: str | None = None
    """File of a tokenizer whose tokens the words of made prompts are; None: common words."""
    token_ids: bool = False
    """Made prompts are sent as token ids."""
    prompts: str | None = None
    """File of prompts, instead of `prompt`."""
    prompts_format: str | None = None
    """None: the content of the file says it."""
    prompt_column: str | None = None
    """Key or column of the prompt in the file; None: that of the format."""
    order: Order | None = None
    """sequential, shuffled or random; None: sequential, and random for pools."""
    salt: bool = False
    """Each prompt of the file begins with words of its own."""
    max_tokens: int | None = None
    min_tokens: int | None = None
    body: str | None = None

    @property
    def prompt_given(self) -> bool:
        """Whether the user has given one prompt for all requests."""
        return self.prompt != DEFAULT_PROMPT

    def check_prompts(self) -> None:
        """Check all options about prompts and the lengths of answers.

        Raises:
            UsageError: two of them contradict each other; the message names the flags.
        """
        if self.prompt_tokens is None:
            self._check_not_made()
        else:
            self._check_made()
        if self.prompts is None:
            self._check_no_file()
        else:
            self._check_file()
        if self.once:
            self._check_once()
        if self.output_tokens is not None:
            _refuse(
                "--output-tokens can't be used with {flag}, {why}: drop one of them",
                ("--max-tokens", self.max_tokens is not None, "which is one limit for all requests"),
                ("--min-tokens", self.min_tokens is not None, "use --ignore-eos for answers of exactly these lengths"),
                ("--trace", self.trace is not None, "which has the lengths of the answers"),
            )

    def _check_not_made(self) -> None:
        _refuse(
            "{flag} is for prompts that are made: give their length with --prompt-tokens",
            ("--shared-prefix-tokens", self.shared_prefix_tokens > 0, ""),
            ("--prefix-groups", self.prefix_groups > 1, ""),
            ("--token-ids", self.token_ids, ""),
            ("--words-per-token", self.words_per_token != AUTO, ""),
            ("--tokenizer", self.tokenizer is not None and self.prompts is None and self.trace is None, ""),
        )

    def _check_made(self) -> None:
        assert self.prompt_tokens is not None
        if self.prompt_given:
            raise UsageError("--prompt-tokens makes prompts, so it can't be used with --prompt: drop one of them")
        if self.prompts is not None:
            raise UsageError("--prompt-tokens makes prompts, so it can't be used with --prompts: drop one of them")
        if self.prompt_ids:
            raise UsageError("--prompt-tokens and --prompt-ids can't be used together: drop one of them")
        if self.body is not None and "{prompt}" not in self.body:
            raise UsageError("--prompt-tokens needs a place in --body: write {prompt} where the prompt belongs")
        if self.shared_prefix_tokens >= self.prompt_tokens.least > 1:
            raise UsageError(
                f"--shared-prefix-tokens {self.shared_prefix_tokens} leaves nothing of a prompt of "
                f"{self.prompt_tokens.least} tokens (--prompt-tokens {self.prompt_tokens})"
            )
        if self.words_per_token != AUTO:
            _refuse(
                "--words-per-token can't be used with {flag}, {why}: drop one of them",
                ("--tokenizer", self.tokenizer is not None, "whose words are one token each"),
                ("--token-ids", self.token_ids, "which are the tokens themselves"),
            )
        if self.prefix_groups > 1 and not self.shared_prefix_tokens:
            raise UsageError("--prefix-groups needs the length of the prefixes: --shared-prefix-tokens")

    def _check_no_file(self) -> None:
        _refuse(
            "{flag} is for prompts from a file: give it with --prompts FILE",
            ("--prompts-format", self.prompts_format is not None, ""),
            ("--prompt-column", self.prompt_column is not None, ""),
            ("--order", self.order is not None, ""),
            ("--once", self.once, ""),
            ("--salt", self.salt, ""),
        )
        if self.skip_bad_rows and self.trace is None:
            raise UsageError("--skip-bad-rows needs a file with rows: give it with --trace FILE or --prompts FILE")

    def _check_file(self) -> None:
        if self.prompts == "":
            raise UsageError("--prompts is empty: give the name of a file")
        if self.prompt_given:
            raise UsageError("--prompts and --prompt can't be used together: drop one of them")
        if self.prompt_ids:
            raise UsageError("--prompts and --prompt-ids can't be used together: drop one of them")
        if self.body is not None and "{prompt}" not in self.body:
            raise UsageError("--prompts needs a place in --body: write {prompt} where the prompt belongs")
        if self.prompt_column is not None and self.prompts_format not in (None, "csv", "prompts"):
            raise UsageError(
                f"--prompt-column can't be used with --prompts-format {self.prompts_format}, which has its own names: "
                "drop one of them"
            )

    def _check_once(self) -> None:
        if self.order == "random":
            raise UsageError("--once uses each row once, and --order random draws rows at will: drop one of them")
        _refuse(
            "--once and {flag} can't be used together{why}: drop one of them",
            ("--requests", self.requests is not None, ", because the number of rows is that of the requests"),
            ("--stage", bool(self.stages), ", because the stages say how long the run is"),
            ("--trace", self.trace is not None, ", because a trace has its own number of requests"),
            (self.course or "--sweep", bool(self.course), ", because it decides how long the run is"),
            ("--warmup", self.warmup_s > 0, ", because a warm-up uses rows and measures none of them"),
            ("--warmup-requests", self.warmup_requests is not None, ", because a warm-up uses rows"),
        )
        if min(self.shares) < 1:
            raise UsageError(
                f"--once needs a stream for each of the {self.procs} processes: use fewer with --procs, or more streams"
            )


def _refuse(text: str, *flags: tuple[str, bool, str]) -> None:
    for flag, given, why in flags:
        if given:
            raise UsageError(text.format(flag=flag, why=why))
