"""The options as the summary shows them: without secrets, long texts shortened. Pure functions."""

import contextlib
from typing import Any

import msgspec

from llmstress.coordinator.config.keys import is_secret, keys_in, names_a_secret, variable_of
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.slo_text import deadlines_text
from llmstress.coordinator.config.target_url import redact_url, secret_parameters, user_information
from llmstress.coordinator.config.tasks import OwnStep
from llmstress.engine.secrets import SHORTEST, redact

_LONGEST_SHOWN = 200
"""Characters of a text, and number of token ids, that a summary shows."""


def describe(options: Options) -> dict[str, Any]:
    """The options for the summary: field -> value."""
    hidden = ("tasks", "fail_if", "abort_if")
    shown: dict[str, Any] = {
        name: msgspec.to_builtins(getattr(options, name)) for name in options.__struct_fields__ if name not in hidden
    }
    shown["url"] = redact_url(options.url) if options.url is not None else None
    secrets = secrets_in_options(options)
    shown["headers"] = [f"{name}: {_header_value(name, value, secrets)}" for name, value in options.headers]
    shown["body"] = _redacted_body(options.body, secrets) if options.body is not None else None
    shown["extra_body"] = _redacted_json(options.extra_body)
    for name in ("prompt", "system", "body"):
        shown[name] = _shortened(shown[name])
    if len(options.prompt_ids) > _LONGEST_SHOWN:
        shown["prompt_ids"] = [*options.prompt_ids[:_LONGEST_SHOWN], f"… {len(options.prompt_ids):,} token ids"]
    for name in ("fail_if", "abort_if"):
        shown[name] = [threshold.text for threshold in getattr(options, name)]
    for name in ("rate", "bystander", "prompt_tokens", "output_tokens", "turns", "price", "cost_per_hour"):
        shown[name] = None if shown[name] is None else str(getattr(options, name))
    shown["words_per_token"] = options.words_per_token or "auto"
    shown["prices"] = None if options.prices is None else options.prices.name
    shown["models"] = [str(model) for model in options.models or ()]
    shown["stages"] = [str(stage) for stage in options.stages]
    shown["token_bands"] = None if options.bands is None else f"{options.bands.input},{options.bands.output}"
    shown["proxy"] = redact_url(options.proxy) if options.proxy is not None else None
    shown["slos"] = [slo.text for slo in options.slos]
    shown["checks"] = [check.text for check in options.checks]
    shown["tasks"] = [
        {
            "name": task.name,
            "weight": task.weight,
            **{field: value for field, value in describe(own).items() if field in task.own},
            **({"steps": [_step(step, own) for step in task.steps]} if task.steps else {}),
        }
        for task, own in (options.each_task if options.is_mix else ())
    ]
    shown["deadlines"] = deadlines_text(options.deadlines) if options.deadlines is not None else None
    return shown


def _step(step: OwnStep, options: Options) -> dict[str, Any]:
    """A step of a flow, whose task has these options."""
    shown = describe(options.of_step(step))
    return {
        "name": step.name,
        "setup": step.setup,
        "extract": [f"{each.name} = {each}" for each in step.extracts],
        "think": msgspec.to_builtins(step.think),
        **{field: value for field, value in shown.items() if field in step.own},
    }


def secrets_in_tasks(options: Options) -> list[str]:
    """The secrets that are written in the options of all tasks."""
    return list(dict.fromkeys(secret for _, _, own in options.each_step for secret in secrets_in_options(own)))


def secrets_in_options(options: Options) -> list[str]:
    """The secrets that are written in the options themselves: in headers, bodies and URLs."""
    places: list[Any] = [options.extra_body]
    with contextlib.suppress(ValueError, RecursionError):  # the body may be something other than JSON
        places.append(msgspec.json.decode(options.body or "{}"))
    found = [value for _, value in keys_in(places)]
    in_headers = [value for name, value in options.headers if variable_of(value) is None and is_secret(name, value)]
    behind_schemes = [value.partition(" ")[2].strip() for value in in_headers]  # `Bearer ...`
    found += [*in_headers, *(value for value in behind_schemes if len(value) >= SHORTEST)]
    for url in (options.url or "", options.proxy or ""):
        found += [user_information(url).partition(":")[2], *secret_parameters(url)]
    return [value for value in found if value]


def _header_value(name: str, value: str, secrets: list[str]) -> str:
    """The name of a variable (`env:NAME`), the value with `secrets` redacted, or stars."""
    if variable_of(value) is not None:
        return value
    return "***" if is_secret(name, value) else redact(value, secrets)


def _redacted_body(body: str, secrets: list[str]) -> str:
    """A body without secrets, otherwise as written. JSON that still contains secrets (escaped ones) is encoded anew."""
    shown = redact(body, secrets)
    with contextlib.suppress(ValueError, RecursionError):  # the body may be something other than JSON
        value = msgspec.json.decode(shown)
        if any(secret != "***" for _, secret in keys_in(value)):
            shown = msgspec.json.encode(_redacted_json(value)).decode()
    return shown


def _redacted_json(value: Any) -> Any:
    """`value` with stars for the strings whose names say that they are secrets, and with long strings shortened."""
    if isinstance(value, list):
        return [_redacted_json(each) for each in value]
    if not isinstance(value, dict):
        return _shortened(value) if isinstance(value, str) else value
    return {name: "***" if names_a_secret(name, each) else _redacted_json(each) for name, each in value.items()}


def _shortened(text: str | None) -> str | None:
    """A prompt may be larger than the rest of a summary."""
    if text is None or len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[:_LONGEST_SHOWN]}… ({len(text):,} characters)"
