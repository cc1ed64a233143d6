"""A run or a probe without a target: starts the built-in mock and adapts the options to it."""

import os

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.redaction import child_environment, secrets_of
from llmstress.coordinator.processes.mock_process import MockProcess
from llmstress.coordinator.target.auth import given_headers, key_variables

_MODEL = "mock-7b"

_PATHS = {"sse": "/stream?prompt={prompt}", "text": "/text", "http": "/json"}
"""Path of the mock for each API that has no path of its own."""

_BODIES = {"text": '{"prompt": "{prompt}"}'}
"""Body to send there, unless the user gives one."""


async def start_demo_mock(options: Options, procs: int) -> MockProcess:
    """Start the mock, in an environment without secrets.

    Raises:
        CouldNotStart: it exited before it listened.
    """
    secrets = secrets_of(options, given_headers(options, os.environ))
    environ = child_environment(os.environ, secrets, key_variables(options))
    return await MockProcess.start(procs, options.seed, environ)


def demo_url(options: Options, base: str) -> str:
    """The URL for the API of `options` of a mock with the URL `base`."""
    return base + _PATHS.get(options.api or "", "")


def demo_options(options: Options) -> Options:
    """`options` for the mock. It is on this machine, so proxies in the environment are ignored."""
    tasks = tuple(
        msgspec.structs.replace(task, own={**task.own, "body": _body(options.of_task(task))}) for task in options.tasks
    )
    model = options.model or (None if options.models else _MODEL)
    return msgspec.structs.replace(options, model=model, proxy="none", body=_body(options), tasks=tasks)


def _body(options: Options) -> str | None:
    return options.body if options.body is not None or options.method else _BODIES.get(options.api or "")
