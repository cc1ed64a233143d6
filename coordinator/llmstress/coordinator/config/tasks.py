"""The tasks of a run: which options belong to one kind of request, and the options of a single task. Pure functions."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from llmstress.engine.control import Think
from llmstress.engine.flows.extraction import Extraction

OF_A_TASK = frozenset(
    {
        # the target
        *("url", "api", "model", "models", "api_key_env", "headers", "auth", "api_version"),
        # the request
        *("prompt", "prompt_ids", "prompt_tokens", "shared_prefix_tokens", "prefix_groups", "system"),
        *("prompts", "prompts_format", "prompt_column", "order", "salt", "skip_bad_rows", "tokenizer", "token_ids"),
        *("words_per_token",),
        *("max_tokens", "output_tokens", "min_tokens", "ignore_eos", "limit_field", "stream", "usage", "extra_body"),
        *("batch", "encoding", "method", "body", "text", "done", "error_event", "turns", "answers"),
        # the connection
        *("source_ips", "resolve", "proxy", "unix_socket", "cacert", "insecure", "cert", "key"),
        *("keepalive", "requests_per_connection"),
        # limits, and what follows a failure
        *("timeout_connect_s", "timeout_first_token_s", "timeout_idle_s", "timeout_total_s"),
        *("retries", "on_status", "require_finish"),
        # what requests cost
        *("price", "prices"),
        # what requests are judged by, and users who walk away
        *("slos", "slo_preset", "checks"),
        *("abandon", "abandon_after", "abandon_after_tokens"),
    }
)
"""Fields of `Options` that a task may have for itself. All others belong to the run."""

_MADE = ("prompt_tokens", "words_per_token", "shared_prefix_tokens", "prefix_groups", "token_ids")
_OF_A_FILE = ("prompts", "prompts_format", "prompt_column", "order", "salt", "skip_bad_rows")

RIVALS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "model": ("models",),
        "models": ("model",),
        "prompt": ("prompt_ids", *_MADE, *_OF_A_FILE),
        "prompt_ids": ("prompt", *_MADE, *_OF_A_FILE),
        "prompt_tokens": ("prompt", "prompt_ids", *_OF_A_FILE),
        "prompts": ("prompt", "prompt_ids", *_MADE),
        "tokenizer": ("words_per_token",),
        "token_ids": ("words_per_token",),
        "prices": ("price",),
        "max_tokens": ("output_tokens",),
        "output_tokens": ("max_tokens", "min_tokens"),
    }
)
"""Field -> fields that say the same in another way: a task that has the first takes none of these over from the run."""

OF_AN_ORIGIN = ("api_key_env", "headers", "auth", "unix_socket", "resolve", "cert", "key")
"""Fields that a task with a URL of its own does not take over from the run: a key must not reach another server."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}", re.ASCII)

HEAVIEST = 10_000
"""The largest weight of a task. A worker counts through the weights when it starts."""

MOST_TASKS = 100


OF_A_STEP = OF_A_TASK - {"turns", "answers", "models"}
"""Fields of `Options` that a step of a flow may have for itself."""

MOST_STEPS = 50


class OwnStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a flow, and the options that it has for itself."""

    name: str
    own: dict[str, Any] = {}
    """Field of `Options` -> value."""
    setup: bool = False
    """It is made once for each user, and again after a 401."""
    extracts: tuple[Extraction, ...] = ()
    """What later steps need of its answer."""
    think: Think = Think()
    """The wait before it."""
    origin: str = ""
    """Where it was given: `run.toml, line 12`."""
    origins: dict[str, str] = {}
    """The same of each of `own`."""


class OwnOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A task, and the options that it has for itself."""

    name: str
    weight: int = 1
    """Its share of the requests is this, divided by the sum of the weights of all tasks."""
    own: dict[str, Any] = {}
    """Field of `Options` -> value."""
    origin: str = ""
    """Where it was given: `run.toml, line 12`."""
    group: str = ""
    """What the tasks of one list of models have in common: the name of the task that has it, or `models`."""
    steps: tuple[OwnStep, ...] = ()
    """Its requests are the steps of a flow; empty: each one stands for itself."""
    script: str = ""
    """The method of a user class in the file of `--scenario` that is this task, such as `Support.ask`; empty: it is no
    such task."""


def check_name(name: Any) -> str:
    """The name of a task, as thresholds and tables use it.

    Raises:
        ValueError: it can't be one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError('expected at most 40 letters, digits, - and _, beginning with a letter, like "chat"')
    return name


def check_weight(weight: Any) -> int:
    """The weight of a task.

    Raises:
        ValueError: it is no whole number, or out of range.
    """
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= HEAVIEST:
        raise ValueError(f"expected a whole number from 1 to {HEAVIEST:,}, like 3; for 70 % and 30 %, write 7 and 3")
    return weight


def has_url(task: OwnOptions) -> bool:
    """Whether a task or a step of it has a target of its own."""
    return any(own.get("url") is not None for own in (task.own, *(step.own for step in task.steps)))


def changes_of_step(step: OwnStep, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What is other in the options of a step than in those of its task: field -> value. A step that has no place for a
    prompt takes over none.

    options: field -> value, those of the task.
    """
    changes = changes_of(step, defaults)
    body, api = changes.get("body"), changes.get("api", options["api"])
    placeless = (body is not None and "{prompt}" not in body) or (api == "http" and not (body or options["body"]))
    dropped = ("prompt", *RIVALS["prompt"], "skip_bad_rows", "tokenizer") if placeless else ()
    return {**{field: defaults[field] for field in dropped}, **changes}


def changes_of(task: OwnOptions | OwnStep, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What is other in the options of a task than in those of the run, or in those of a step than in those of its task:
    field -> value.

    defaults: field -> default, of all fields.
    """
    dropped = {rival for field in task.own for rival in RIVALS.get(field, ())}
    if "url" in task.own:
        dropped.update(OF_AN_ORIGIN)
    return {**{field: defaults[field] for field in dropped}, **task.own}
