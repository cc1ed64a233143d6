"""The built-in mock, as the target of whoever names none."""

import os

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.redaction import child_environment, secrets_of
from llmstress.coordinator.processes.supervisor import Mock
from llmstress.coordinator.target.auth import given_headers, key_variables

_MODEL = "mock-7b"

_PATHS = {"sse": "/stream?prompt={prompt}", "text": "/text", "http": "/json"}
"""Where it speaks the APIs that have no path of their own."""

_BODIES = {"text": '{"prompt": "{prompt}"}'}
"""What is posted there, unless the user says."""


async def start_demo(options: Options, procs: int) -> Mock:
    """Start it, in an environment without secrets.

    Raises:
        CouldNotStart: it ended instead of listening.
    """
    secrets = secrets_of(options, given_headers(options, os.environ))
    environ = child_environment(os.environ, secrets, key_variables(options))
    return await Mock.start(procs, options.seed, environ)


def url_of_demo(options: Options, mock: Mock) -> str:
    """Where it is asked what `options` ask."""
    return mock.url + _PATHS.get(options.api or "", "")


def of_demo(options: Options) -> Options:
    """`options` for it: it is on this machine, whatever the environment says of proxies."""
    body = options.body if options.body is not None or options.method else _BODIES.get(options.api or "")
    return msgspec.structs.replace(options, model=options.model or _MODEL, proxy="none", body=body)
