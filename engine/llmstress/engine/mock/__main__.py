"""Runs the mock server as a process: one JSON line when it listens, one with the truth at its end."""

import argparse
from typing import Any

import msgspec

from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.server import serve
from llmstress.engine.orphan import die_with_parent

_HELP = {
    "host": "address to listen on",
    "port": "port to listen on, 0 for any free one",
    "ttft_ms": "from the request to the first token",
    "gap_ms": "from token to token",
    "tokens": "tokens of an answer",
    "jitter": "share by which every delay may differ, 0 to 1",
    "procs": "processes that share the port",
    "seed": "start of the random numbers",
    "model": "name of the model",
    "tls_cert": "file with a certificate chain (PEM): speak https",
    "tls_key": "file with its private key, unless that is in the same file",
    "tls_client_ca": "file with authorities (PEM): every client has to show a certificate of theirs",
    "unix_socket": "path to listen on instead of host and port",
}


def main() -> None:
    """Parse the arguments, serve, print."""
    parser = argparse.ArgumentParser(
        prog="python -m llmstress.engine.mock",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for field in msgspec.structs.fields(MockOptions):
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=field.type, default=field.default, help=_HELP[field.name])
    parser.add_argument("--parent-pid", type=int, help="die when this process, the parent, does")
    settings = vars(parser.parse_args())
    parent_pid = settings.pop("parent_pid")
    if parent_pid is not None:
        die_with_parent(parent_pid)
    try:
        options = MockOptions(**settings)
    except ValueError as error:
        parser.error(str(error))
    truth = serve(options, lambda url: _print({"listening": url}))
    _print(truth.summary())


def _print(line: dict[str, Any]) -> None:
    print(msgspec.json.encode(line).decode(), flush=True)


if __name__ == "__main__":
    main()
