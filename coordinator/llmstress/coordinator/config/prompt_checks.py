"""Contradictions between the options that say where prompts come from. Pure functions."""

from typing import TYPE_CHECKING

from llmstress.coordinator.config.errors import UsageError

if TYPE_CHECKING:
    from llmstress.coordinator.config.options import Options


def check_prompts(options: "Options") -> None:
    """Check all options about prompts and the lengths of answers.

    Raises:
        UsageError: two of them contradict each other; the message names the flags.
    """
    if options.prompt_tokens is None:
        _check_not_made(options)
    else:
        _check_made(options)
    if options.prompts is None:
        _check_no_file(options)
    else:
        _check_file(options)
    if options.once:
        _check_once(options)
    if options.output_tokens is not None:
        _refuse(
            "--output-tokens can't be used with {flag}, {why}: drop one of them",
            ("--max-tokens", options.max_tokens is not None, "which is one limit for all requests"),
            ("--min-tokens", options.min_tokens is not None, "use --ignore-eos for answers of exactly these lengths"),
            ("--trace", options.trace is not None, "which has the lengths of the answers"),
        )


def _refuse(text: str, *flags: tuple[str, bool, str]) -> None:
    for flag, given, why in flags:
        if given:
            raise UsageError(text.format(flag=flag, why=why))


def _check_not_made(options: "Options") -> None:
    _refuse(
        "{flag} is for prompts that are made: give their length with --prompt-tokens",
        ("--shared-prefix-tokens", options.shared_prefix_tokens > 0, ""),
        ("--prefix-groups", options.prefix_groups > 1, ""),
        ("--token-ids", options.token_ids, ""),
        ("--tokenizer", options.tokenizer is not None and options.prompts is None and options.trace is None, ""),
    )


def _check_made(options: "Options") -> None:
    assert options.prompt_tokens is not None
    if options.prompt_given:
        raise UsageError("--prompt-tokens makes prompts, so it can't be used with --prompt: drop one of them")
    if options.prompts is not None:
        raise UsageError("--prompt-tokens makes prompts, so it can't be used with --prompts: drop one of them")
    if options.prompt_ids:
        raise UsageError("--prompt-tokens and --prompt-ids can't be used together: drop one of them")
    if options.body is not None and "{prompt}" not in options.body:
        raise UsageError("--prompt-tokens needs a place in --body: write {prompt} where the prompt belongs")
    if options.shared_prefix_tokens >= options.prompt_tokens.least > 1:
        raise UsageError(
            f"--shared-prefix-tokens {options.shared_prefix_tokens} leaves nothing of a prompt of "
            f"{options.prompt_tokens.least} tokens (--prompt-tokens {options.prompt_tokens})"
        )
    if options.prefix_groups > 1 and not options.shared_prefix_tokens:
        raise UsageError("--prefix-groups needs the length of the prefixes: --shared-prefix-tokens")


def _check_no_file(options: "Options") -> None:
    _refuse(
        "{flag} is for prompts from a file: give it with --prompts FILE",
        ("--prompts-format", options.prompts_format is not None, ""),
        ("--prompt-column", options.prompt_column is not None, ""),
        ("--order", options.order is not None, ""),
        ("--once", options.once, ""),
        ("--salt", options.salt, ""),
    )
    if options.skip_bad_rows and options.trace is None:
        raise UsageError("--skip-bad-rows needs a file with rows: give it with --trace FILE or --prompts FILE")


def _check_file(options: "Options") -> None:
    if options.prompts == "":
        raise UsageError("--prompts is empty: give the name of a file")
    if options.prompt_given:
        raise UsageError("--prompts and --prompt can't be used together: drop one of them")
    if options.prompt_ids:
        raise UsageError("--prompts and --prompt-ids can't be used together: drop one of them")
    if options.body is not None and "{prompt}" not in options.body:
        raise UsageError("--prompts needs a place in --body: write {prompt} where the prompt belongs")
    if options.prompt_column is not None and options.prompts_format not in (None, "csv", "prompts"):
        raise UsageError(
            f"--prompt-column can't be used with --prompts-format {options.prompts_format}, which has its own names: "
            "drop one of them"
        )


def _check_once(options: "Options") -> None:
    if options.order == "random":
        raise UsageError("--once uses each row once, and --order random draws rows again and again: drop one of them")
    _refuse(
        "--once and {flag} can't be used together{why}: drop one of them",
        ("--requests", options.requests is not None, ", because the number of rows is that of the requests"),
        ("--stage", bool(options.stages), ", because the stages say how long the run is"),
        ("--trace", options.trace is not None, ", because a trace has its own number of requests"),
        (options.course or "--sweep", bool(options.course), ", because it decides how long the run is"),
        ("--warmup", options.warmup_s > 0, ", because a warm-up uses rows and measures none of them"),
        ("--warmup-requests", options.warmup_requests is not None, ", because a warm-up uses rows"),
    )
    if min(options.shares) < 1:
        raise UsageError(
            f"--once needs a stream for each of the {options.procs} processes: use fewer with --procs, or more streams"
        )
