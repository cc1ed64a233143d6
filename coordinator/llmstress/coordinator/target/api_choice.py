"""Which API a run uses, and whether that API supports the options."""

import msgspec

from llmstress.coordinator.config.errors import UsageError, naming
from llmstress.coordinator.config.options import DEFAULTS, Options
from llmstress.coordinator.config.target_url import split_url
from llmstress.coordinator.config.tasks import OF_A_TASK, OwnOptions, OwnStep
from llmstress.engine.api import APIS, DEFAULT_API, find_api, guess_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.azure_openai import AzureOpenAI
from llmstress.engine.api.base import Api
from llmstress.engine.checks.check import KINDS
from llmstress.engine.telemetry.slo import OF_STREAMS

FLAGS = {
    "prompt_ids": "--prompt-ids",
    "system": "--system",
    "max_tokens": "--max-tokens",
    "min_tokens": "--min-tokens",
    "ignore_eos": "--ignore-eos",
    "limit_field": "--limit-field",
    "batch": "--batch",
    "encoding": "--encoding",
    "auth": "--auth",
    "version": "--api-version",
    "method": "--method",
    "body": "--body",
    "text": "--text",
    "done": "--done",
    "error_event": "--error-event",
}
"""Field of `Ask` -> its flag, for the fields that only some APIs support."""

_OPTION = {
    "version": ("api_version",),
    "prompt_ids": ("prompt_ids", "token_ids"),
    "max_tokens": ("max_tokens", "output_tokens"),
}
"""Field of `Ask` -> the options that set it, where they have other names."""

NAMED = "named with --api"
"""The reason for an API that the user chose."""

_OPENAI_APIS = ("openai-chat", "openai-completions", "openai-embeddings", "openai-responses")
"""APIs that Azure offers as well, with the key in a header of its own."""


def name_of_api(options: Options, url: str) -> str:
    """The name of the API to use with `url`: that of `--api`, else the one that the URL suggests, else the default."""
    if options.api is not None:
        return options.api
    return _guessed(url) or DEFAULT_API


def why_this_api(options: Options, url: str) -> str:
    """The reason for the choice of `name_of_api`."""
    if options.api is not None:
        return NAMED
    return "guessed from the URL" if _guessed(url) else "the default, because the URL suggests no other API"


def _guessed(url: str) -> str | None:
    split = split_url(url)
    return guess_api(split.hostname or "", split.path) if split is not None else None


def ask_of(options: Options, url: str, model: str) -> Ask:
    """The content of every request to `url` for `model`: that of the options, with defaults that depend on the host."""
    ask = options.ask(model)
    split, name = split_url(url), name_of_api(options, url)
    host = (split.hostname or "") if split else ""
    if not ask.limit_field and f".{host}".endswith(".api.openai.com") and name == "openai-chat":
        # OpenAI has models that refuse `max_tokens`, the only name that all other servers know
        return msgspec.structs.replace(ask, limit_field="max_completion_tokens")
    if not ask.auth and name in _OPENAI_APIS and split and AzureOpenAI.claims(host, split.path):
        return msgspec.structs.replace(ask, auth=AzureOpenAI.AUTH)
    return ask


def tasks_of(options: Options) -> tuple[tuple[OwnOptions, OwnStep | None, Options], ...]:
    """The tasks of a run, or the steps of those that are flows, with their options. What a task or a step takes over is
    left out where its API does not support it: a mix of chats and embeddings may have a limit of output tokens."""
    return tuple((task, step, supported(task, step, own)) for task, step, own in options.each_step)


def label_of(task: OwnOptions, step: OwnStep | None) -> str:
    """Name of a task, or of a step of it, for messages."""
    return task.name if step is None else f"{task.name}, step {step.name}"


def supported(task: OwnOptions, step: OwnStep | None, options: Options) -> Options:
    """The options of a task or of a step of it, without what it takes over and its API does not support."""
    try:
        api = find_api(name_of_api(options, options.url or ""))
    except (LookupError, TypeError, ImportError, AttributeError):
        return options  # `choose_api` says what is wrong
    fields = {field: _OPTION.get(field, (field,)) for field in FLAGS if field not in api.TAKES}
    unsupported = {name for names in fields.values() for name in names}
    if not task.name:
        return options
    own = (step or task).own
    changes = {name: DEFAULTS[name] for name in (unsupported & OF_A_TASK) - own.keys()}
    if not api.STREAMS and not own.keys() & {"slos", "slo_preset"}:  # its requests have no first token
        slos = tuple(slo for slo in options.objectives.slos if slo.metric not in OF_STREAMS)
        changes |= {"slos": slos, "slo_preset": None}
    return msgspec.structs.replace(options, **changes) if changes else options


def check_apis(options: Options) -> None:
    """Check that the API of each task supports its options.

    Raises:
        UsageError: as for `choose_api`.
    """
    for task, step, own in tasks_of(options):
        with naming(label_of(task, step)):
            name = name_of_api(own, own.url or "")
            refuse_unfit(own, name, choose_api(name, ask_of(own, own.url or "", own.model or "")))


def choose_api(name: str, ask: Ask) -> Api:
    """The API `name`, made for requests with the content `ask`.

    Raises:
        UsageError: there is no such API, or it does not support an option that was given.
    """
    try:
        kind = find_api(name)
    except (LookupError, TypeError, ImportError, AttributeError) as error:
        raise UsageError(f"--api {name}: {error.args[0] if error.args else error}") from error
    plain = Ask()
    for field, flag in FLAGS.items():
        if getattr(ask, field) != getattr(plain, field) and field not in kind.TAKES:
            takers = ", ".join(other for other, api in APIS.items() if field in api.TAKES)
            raise UsageError(f"{flag} isn't supported by {name}: drop it, or choose an API that supports it ({takers})")
    try:
        return kind(ask)
    except ValueError as error:
        raise UsageError(f"--api {name}: {error}") from error


def refuse_unfit(options: Options, name: str, api: Api) -> None:
    """Refuse what is asked of requests and answers that those of this API can't have.

    Raises:
        UsageError: a check, a moment of leaving or a prompt of token ids does not fit the API.
    """
    if options.token_ids and "prompt_ids" not in type(api).TAKES:
        takers = ", ".join(other for other, each in APIS.items() if "prompt_ids" in each.TAKES)
        raise UsageError(
            f"--token-ids isn't supported by {name}: drop it, or choose an API that supports it ({takers})"
        )
    for check in options.checks:
        if KINDS[check.kind].reads and not api.reads_text:
            raise UsageError(f"--check {check}: the answers of {name} have no text; use min-tokens or finish")
    if options.abandon_after_tokens is not None and not api.streamed:
        raise UsageError(f"--abandon-after-tokens: the answers of {name} are not streamed; use --abandon-after TIME")
