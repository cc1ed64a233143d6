"""The samples of a class of failure, of all tasks. A pure function.

An aggregate keeps the samples of a named task under `<task> <class>`, those of requests without a task under the class.
"""

from collections.abc import Mapping, Sequence

from llmstress.engine.telemetry.messages import ErrorSample

SCENARIO = "scenario"
"""Class of the samples of exceptions that the code of users has raised. No request is of this class."""

BYSTANDER_NAME = "bystander"
"""Name of the task whose requests are sent beside the load: its samples are not among those of the load."""


def samples_of(samples: Mapping[str, Sequence[ErrorSample]], outcome: str) -> list[tuple[str, ErrorSample]]:
    """The samples of a class, each with the name of its task (empty: it has none). `samples`: as an aggregate has
    them."""
    found = []
    for key, kept in samples.items():
        task, _, name = key.rpartition(" ")
        if name == outcome and task != BYSTANDER_NAME:
            found += [(task, sample) for sample in kept]
    return found
