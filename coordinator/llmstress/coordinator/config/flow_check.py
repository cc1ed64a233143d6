"""Checks the steps of a flow before anything starts. A pure function."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Protocol
from urllib.parse import urlsplit

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.keys import is_secret_name
from llmstress.coordinator.config.target_url import secret_parameters
from llmstress.coordinator.config.tasks import MOST_STEPS, OwnOptions, OwnStep
from llmstress.engine.control import Think
from llmstress.engine.flows.templates import names_in

BUILT_IN = ("user", "number")
"""Variables that every step has: the numbers of the user and of the flow, from 1."""

_IN_BODY = ("prompt", "model")

_DOTTED = re.compile(r"\{\{\s*[A-Za-z_][\w-]*\.(?!answer\s*\}\})[\w.-]*\s*\}\}", re.ASCII)
"""Written like the answer to a step, and none."""

_CREDENTIALS = re.compile(r"(?i)(?:bearer|basic|token)\s")

_MEMBER = re.compile(r'"([^"\\]+)"\s*:\s*"((?:[^"\\]|\\.)*)"')
"""Name and text of a member of a JSON body."""


class Texts(Protocol):
    """What is needed of the options of a step."""

    @property
    def url(self) -> str | None:
        """Its target."""

    @property
    def prompt(self) -> str:
        """May have variables, as the next two may."""

    @property
    def system(self) -> str | None:
        """See `prompt`."""

    @property
    def body(self) -> str | None:
        """See `prompt`."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names and values, which may have variables."""


class OfRun(Protocol):
    """What is needed of the options of the run."""

    @property
    def trace(self) -> str | None:
        """The file of `--trace`."""

    @property
    def tokens_asked(self) -> bool:
        """The rate is one of tokens."""


class OfTask(Protocol):
    """What is needed of the options of the task."""

    @property
    def converses(self) -> bool:
        """Requests are turns of conversations."""

    def of_step(self, step: OwnStep) -> Texts:
        """The options of a step."""


def in_order(task: OwnOptions) -> list[OwnStep]:
    """The steps in the order in which the first flow of a user makes them: the set-up first."""
    return sorted(task.steps, key=lambda step: not step.setup)


def check_flow(task: OwnOptions, run: OfRun, options: OfTask) -> None:
    """Check the flow of a task, whose own options are `options`.

    Raises:
        UsageError: it can't be carried out as it is written.
    """
    at = f"{task.origin}: task {task.name}"
    if options.converses:
        raise UsageError(f"{at}: turns and steps can't be used together: drop one of them")
    if run.trace is not None:
        raise UsageError(f"{at}: a flow can't be used with --trace, whose rows are single requests: drop one of them")
    if run.tokens_asked:
        raise UsageError(f"{at}: the rate is one of flows, which no number of tokens says; write it like --rate 5/s")
    if len(task.steps) > MOST_STEPS:
        raise UsageError(f"{at}: the flow has {len(task.steps)} steps, and at most {MOST_STEPS} are possible")
    if all(step.setup for step in task.steps):
        raise UsageError(f"{at}: all steps have setup = true; a flow needs at least one that is made every time")
    known, made = set(BUILT_IN), set[str]()
    steps = in_order(task)
    first = next(step for step in steps if not step.setup)
    for step in steps:
        where = f"{step.origin}: step {step.name}"
        if step.name in made:
            raise UsageError(f"{where}: two steps of the task {task.name} are called {step.name!r}")
        made.add(step.name)
        if step.think != Think() and (step.setup or step is first):
            raise UsageError(
                f"{where}: think-time is the wait after the step before, and there is none; --think-time of the run is "
                "the pause between two flows of a stream"
            )
        own = options.of_step(step)
        for text in (own.url or "", own.prompt, own.system or "", own.body or "", *(value for _, value in own.headers)):
            if wrong := _DOTTED.search(text):
                raise UsageError(
                    f"{where}: {wrong[0]} is no variable: the answer to an earlier step is {{{{STEP.answer}}}}"
                )
        for place, name in _variables(own, where):
            if name not in known and not (place == "body" and name in _IN_BODY):
                usable = known.union(_IN_BODY) if place == "body" else known
                line = step.origins.get("headers" if place.startswith("header ") else place, step.origin)
                raise UsageError(f"{line}: step {step.name}: {place}: {_unknown(name, usable)}")
        names = [each.name for each in step.extracts]
        if twice := next((each for each in names if names.count(each) > 1), None):
            raise UsageError(f"{where}: extract: {twice} is extracted twice")
        for each in step.extracts:
            if each.name in (*BUILT_IN, *_IN_BODY):
                raise UsageError(f"{where}: extract: {each.name} has a meaning of its own: choose another name")
            known.add(each.name)
        known.add(f"{step.name}.answer")


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    advice = f"; did you mean {{{{{near[0]}}}}}?" if near else ""
    listed = ", ".join(sorted(each for each in known if not each.endswith(".answer")))
    return f"no step before it extracts {{{{{name}}}}}{advice or f'; there are {listed}'}"


def _variables(options: Texts, where: str) -> Iterator[tuple[str, str]]:
    """Place and name of each variable that a step uses."""
    url = options.url or ""
    if names_in(urlsplit(url).netloc):
        raise UsageError(f"{where}: url: variables are filled into the path and the query only, not into the host")
    if names_in(options.prompt) and "{prompt}" in url:
        raise UsageError(f"{where}: url: a prompt with variables can't be a part of the URL: write it into body")
    places = (
        ("url", url),
        *((f"header {name}", value) for name, value in options.headers),
        ("prompt", options.prompt),
        ("system", options.system or ""),
        ("body", options.body or ""),
    )
    for place, text in places:
        yield from ((place, name) for name in names_in(text))


def secret_variables(steps: Iterable[Texts]) -> set[str]:
    """The variables that these steps write where secrets stand: in a header, a parameter or a member of a body with a
    telling name, or behind a scheme (`Bearer {{token}}`)."""
    found: list[str] = []
    for options in steps:
        for name, value in options.headers:
            if is_secret_name(name) or _CREDENTIALS.match(value):
                found += names_in(value)
        body = options.body or ""
        found += [
            each
            for value in (*secret_parameters(options.url or ""), *secret_parameters(body))
            for each in names_in(value)
        ]
        found += [each for name, value in _MEMBER.findall(body) if is_secret_name(name) for each in names_in(value)]
    return {*found}


def answers_wanted(steps: Iterable[Texts]) -> set[str]:
    """The steps whose answers these steps write into their requests."""
    names = {name for options in steps for _, name in _variables(options, "")}
    return {name.removesuffix(".answer") for name in names if name.endswith(".answer")}
