"""The tasks of a run with their targets, networks and models."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from llmstress.coordinator.config.errors import naming
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.tasks import OwnOptions, OwnStep
from llmstress.coordinator.host.machine import local_ports
from llmstress.coordinator.run import scripts
from llmstress.coordinator.run.flow_steps import check_extractions
from llmstress.coordinator.run.turns import check_turns
from llmstress.coordinator.target import model_listing
from llmstress.coordinator.target.api_choice import ask_of, label_of, tasks_of
from llmstress.coordinator.target.network import resolve, with_sources
from llmstress.coordinator.target.resolved_target import ResolvedTarget, resolve_target
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Network


class RunTask(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request of a run: a task, or a step of one that is a flow."""

    name: str
    """Of the task; empty: it is the only one."""
    own: OwnOptions
    step: OwnStep | None = None
    """None: the task is no flow."""
    weight: int
    group: str = ""
    """What the tasks of one list of models have in common; empty: it is of no list."""
    options: Options
    """Those of a run whose requests are all of this task."""
    resolved: ResolvedTarget
    networks: list[Network] = []
    """The network of each worker."""
    addresses: list[str] = []
    """Addresses that connections will go to."""
    model: str = ""
    """Empty: not yet chosen, or not needed."""
    kinds: Mapping[str, tuple[Options, ResolvedTarget]] = {}
    """Of a task in Python: kind of a wish -> options and target of such requests."""
    script_secrets: Mapping[str, str] = {}
    """Of a task in Python: environment variable -> value, of those that its file names."""

    @property
    def label(self) -> str:
        """Its name for messages."""
        return label_of(self.own, self.step)

    @property
    def begins(self) -> bool:
        """It is a whole task, or the first step of one."""
        return self.step is None or self.step is self.own.steps[0]

    @property
    def ask(self) -> Ask:
        """The content of its requests."""
        return ask_of(self.options, self.resolved.target.url, self.model)


def resolve_tasks(options: Options, url_of: Callable[[Options], str], environ: Mapping[str, str]) -> list[RunTask]:
    """The tasks of a run with their targets.

    Args:
        options: the options of the run.
        url_of: the target of the options of a task.
        environ: the environment.

    Raises:
        UsageError: as for `resolve_target`; the message names the task.
    """
    tasks = []
    for task, step, own in tasks_of(options):
        with naming(label_of(task, step)):
            resolved = resolve_target(own, url_of(own), environ)
            check_turns(own, resolved.api_name, resolved.api, resolved.api.ask)
            check_extractions(step, resolved.api_name, resolved.api)
        kinds, secrets = scripts.needs_of(task, own, resolved, environ)
        resolved.secrets.extend(secrets.values())
        tasks.append(
            RunTask(
                name=task.name,
                own=task,
                step=step,
                weight=task.weight,
                group=task.group,
                options=own,
                resolved=resolved,
                kinds=kinds,
                script_secrets=secrets,
            )
        )
    return tasks


async def find_networks(tasks: Sequence[RunTask], shares: list[int]) -> list[RunTask]:
    """The tasks with the network of each worker, which have these `shares` of the streams.

    Raises:
        CouldNotStart, UsageError: as for `resolve`.
    """
    found = []
    for task in tasks:
        with naming(task.label):
            addresses = await resolve(task.resolved.network, task.resolved.target)
        networks = with_sources(task.resolved.network, addresses, shares, local_ports())
        found.append(msgspec.structs.replace(task, addresses=addresses, networks=networks))
    return found


async def choose_models(tasks: Sequence[RunTask], warn: Callable[[str], None]) -> list[RunTask]:
    """The tasks with their models. A target is asked for its models once.

    Raises:
        CouldNotStart: the target of a task does not answer, or the model of a task is not known.
    """
    listings: dict[tuple[str, tuple[tuple[str, str], ...]], model_listing.ModelListing] = {}
    warned: set[str] = set()
    chosen = []
    for task in tasks:
        options, resolved, model = task.options, task.resolved, ""
        if options.model is not None or resolved.api.NEEDS_MODEL:
            with naming(task.label):
                asked = resolved.target.models_url, tuple(resolved.headers)
                if asked not in listings:
                    listings[asked] = (
                        await model_listing.list_models(resolved, task.networks[0])
                        if options.probe and resolved.target.models_url
                        else model_listing.ModelListing()
                    )
                model, warning = model_listing.choose_model(options, listings[asked])
            if warning and warning not in warned:
                warned.add(warning)
                warn(warning)
        chosen.append(msgspec.structs.replace(task, model=model))
    return chosen
