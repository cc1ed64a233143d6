"""Tasks in Python: the kinds of requests that their users may ask for."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.tasks import OwnOptions
from llmstress.coordinator.target.api_choice import supported
from llmstress.coordinator.target.resolved_target import ResolvedTarget, resolve_target
from llmstress.engine.scenario.files import ScenarioError, secrets_named

KINDS = {
    "responses": "openai-responses",
    "messages": "anthropic",
    "completions": "openai-completions",
    "embeddings": "openai-embeddings",
    "sse": "sse",
    "http": "http",
}
"""Kind of a wish -> its API. Those of the kind `chat` have the API of the run."""

Needs = tuple[Mapping[str, tuple[Options, ResolvedTarget]], Mapping[str, str]]


def needs_of(task: OwnOptions, options: Options, resolved: ResolvedTarget, environ: Mapping[str, str]) -> Needs:
    """What a task in Python needs: options and target of each kind of its requests, and its secrets. Nothing for
    another task.

    options, resolved: of its requests of the kind `chat`.

    Raises:
        UsageError: a secret is not set.
    """
    if not task.script or options.scenario is None:
        return {}, {}
    url = resolved.target.url
    base = url.partition("?")[0].removesuffix(type(resolved.api).PATH)
    kinds = {"chat": (options, resolved)}
    for kind, name in KINDS.items():
        checks = () if kind in ("http", "embeddings") else options.checks  # these are no answers of a model
        own = supported(task, None, msgspec.structs.replace(options, api=name, checks=checks))
        kinds[kind] = own, resolve_target(own, base, environ)
    return kinds, _secrets(options.scenario, environ)


def _secrets(path: str, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        names = secrets_named(Path(path))
    except ScenarioError as error:
        raise UsageError(f"--scenario: {error}") from error
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise UsageError(
            f"--scenario {path} needs the environment variables that it names as secrets: {', '.join(missing)}"
        )
    return {name: environ[name] for name in names}
