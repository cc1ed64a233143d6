"""Whether the prompts of a run are those of the last run against the same target: a server may have kept them."""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.outputs import state_directory
from llmstress.coordinator.output.summary import write_atomically
from llmstress.coordinator.prompts.prepared import Prepared
from llmstress.coordinator.run.prompt_files import order_of

KEPT = "last-prompts.json"
"""Name of the file in the state directory that says which prompts were sent last to which target."""

MOST_TARGETS = 100


class Sent(msgspec.Struct, frozen=True):
    """The prompts of a run."""

    prompts: str
    """A digest: equal prompts have equal ones."""
    at: str
    """Start of the run."""


def digest_of(options: Options, prepared: Prepared) -> str:
    """A digest of the prompts that the options ask with; empty: they differ in each run, or are a single one."""
    known = prepared.file(options)
    if known is None or options.salt or all(each.made == each.rows for each in known.facts):
        return ""
    order = order_of(options, known)
    seed = 0 if order == "sequential" else options.seed
    files = [(each.path, each.size, each.modified_ns, each.reading) for each in known.files]
    return hashlib.sha256(msgspec.json.encode([files, order, seed])).hexdigest()[:32]


def warning_of_repeated(url: str, digest: str, now: str, environ: Mapping[str, str]) -> str:
    """A warning if the last run against `url` had prompts with this digest; else empty. Keeps the digest for the next
    run; if that can't be done, nothing is said.

    now: start of this run.
    """
    if not digest:
        return ""
    key = hashlib.sha256(url.encode()).hexdigest()[:32]
    before: Sent | None = None
    with contextlib.suppress(OSError, ValueError):
        path = state_directory(environ) / KEPT
        kept = _read(path)
        before = kept.pop(key, None)
        kept[key] = Sent(digest, now)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(dict([*kept.items()][-MOST_TARGETS:])), mode=0o600)
    if before is None or before.prompts != digest:
        return ""
    return (
        f"the prompts are those of the run at {before.at}, so a server that keeps prefixes may answer from its cache: "
        "use --salt, or restart the server"
    )


def _read(path: Path) -> dict[str, Sent]:
    if not os.path.isfile(path):
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Sent])
    except ValueError:
        return {}
