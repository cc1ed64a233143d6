"""The options of a run: one frozen, typed, validated struct."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from llmstress.coordinator.config.band_text import DEFAULT_BANDS, NO_BANDS
from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.flow_check import check_flow
from llmstress.coordinator.config.load_options import MOST, check_bounds
from llmstress.coordinator.config.model_text import WeightedModel, by_model
from llmstress.coordinator.config.parsing import MaxErrors, Resolve, is_address
from llmstress.coordinator.config.prices import HIGHEST, Money, OnePrice, PriceTable
from llmstress.coordinator.config.prompt_options import PromptOptions
from llmstress.coordinator.config.scenario_check import check_scenario
from llmstress.coordinator.config.slo_presets import PRESETS
from llmstress.coordinator.config.step_names import step_facts
from llmstress.coordinator.config.tasks import MOST_TASKS, OwnOptions, OwnStep, changes_of, changes_of_step, has_url
from llmstress.coordinator.config.threshold_check import check_thresholds
from llmstress.engine.api.ask import Ask
from llmstress.engine.checks.check import Check
from llmstress.engine.control import Think
from llmstress.engine.prompts.lengths import MOST_TOKENS
from llmstress.engine.telemetry.bands import Bounds
from llmstress.engine.telemetry.error_samples import BYSTANDER_NAME
from llmstress.engine.telemetry.slo import OF_STREAMS, Deadlines, Objectives, Slo
from llmstress.engine.telemetry.subjects import FIRST_WORDS
from llmstress.engine.telemetry.thresholds import Threshold

LONGEST_PROGRESS_S = 3600

MOST_RETRIES = 1000

MOST_GROUPS = 1_000_000

LONGEST_HEADER = 64 * 1024
"""Most characters of a header's value; servers accept 8 to 64 KiB for all headers together."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class Options(PromptOptions, frozen=True, kw_only=True):
    """All options of a run. Names that end in `_s` are seconds."""

    url: str | None = None
    """Target as given; None: the built-in mock."""
    api: str | None = None
    """Name of the API; None: guessed from the URL."""
    model: str | None = None
    models: tuple[WeightedModel, ...] | None = None
    """Several models, instead of `model`: a task for each."""
    system: str | None = None
    stream: bool = True
    extra_body: dict[str, Any] = msgspec.field(default_factory=dict)
    usage: bool = True
    ignore_eos: bool = False
    limit_field: str | None = None
    batch: int = 1
    encoding: str | None = None
    auth: str | None = None
    api_version: str = ""
    method: str = ""
    text: str = ""
    done: str = ""
    error_event: str = ""
    api_key_env: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    source_ips: tuple[str, ...] = ()
    resolve: tuple[Resolve, ...] = ()
    proxy: str | None = None
    """URL; `none`: no proxy, and proxy variables in the environment are ignored."""
    unix_socket: str | None = None
    cacert: str | None = None
    insecure: bool = False
    cert: str | None = None
    key: str | None = None
    keepalive: bool = True
    requests_per_connection: int | None = None
    timeout_connect_s: float = 10.0
    timeout_first_token_s: float = 600.0
    timeout_idle_s: float = 120.0
    timeout_total_s: float = 0.0
    error_pause_s: float = 1.0
    retries: int = 0
    on_status: tuple[tuple[str, str], ...] = ()
    """Changes of the failure policy: status or class, and action."""
    max_errors: MaxErrors | None = None
    max_total_tokens: int | None = None
    price: OnePrice | None = None
    """Price of the model."""
    prices: PriceTable | None = None
    """Prices of models; the built-in ones follow."""
    cost_per_hour: Money | None = None
    """Cost of the hardware, instead of prices of tokens."""
    max_cost: float | None = None
    """The run ends when it has cost this much."""
    probe: bool = True
    """Request the target's models before the run; False: `--no-probe`."""
    interval_s: float = 0.25
    dry_run: bool = False
    """Print the plan and send nothing."""
    headless: bool = False
    tui: bool = False
    record: str | None = None
    output: str | None = None
    log_file: str | None = None
    verbose: bool = False
    quiet: bool = False
    progress_s: float = 1.0
    """Time between two progress lines, in whole seconds."""
    histograms: bool = False
    require_finish: bool = False
    checks: tuple[Check, ...] = ()
    """An answer that fails one of them is a failure."""
    abandon: float = 0.0
    """Share of the requests that are abandoned, after the next two."""
    abandon_after: Think | None = None
    abandon_after_tokens: int | None = None
    slos: tuple[Slo, ...] = ()
    slo_preset: str | None = None
    """Name of a set of further SLOs."""
    deadlines: Deadlines | None = None
    reading_speed: float | None = None
    """Tokens per second."""
    preset: str | None = None
    """Name of the preset whose values are used for flags that nothing else sets."""
    fail_if: tuple[Threshold, ...] = ()
    abort_if: tuple[Threshold, ...] = ()
    """As `fail_if`, and the run ends at once."""
    undecided: str = "fail"
    """What a threshold that could not be decided does to the exit code: fail or pass."""
    junit: str | None = None
    intervals: bool = False
    token_bands: Bounds | None = None
    """Where long prompts and answers begin. `NO_BANDS`: requests are not told apart; None: they are, with the default
    bounds, if they differ in length."""
    scenario: str | None = None
    """File of users in Python, whose tasks are among `tasks`."""
    tasks: tuple[OwnOptions, ...] = ()
    """The tasks of a mix; empty: all requests are of one kind, that of these options."""

    def __post_init__(self) -> None:
        """Check bounds, contradictions and texts.

        Raises:
            UsageError: a check failed; the message names the flag.
        """
        self.check_load()
        check_bounds(
            ("--requests-per-connection", self.requests_per_connection, 1, MOST),
            ("--max-tokens", self.max_tokens, 1, 10**9),
            ("--min-tokens", self.min_tokens, 0, 10**9),
            ("--batch", self.batch, 1, 100_000),
            ("--shared-prefix-tokens", self.shared_prefix_tokens, 0, MOST_TOKENS),
            ("--prefix-groups", self.prefix_groups, 1, MOST_GROUPS),
            ("--max-total-tokens", self.max_total_tokens, 1, 10**15),
            ("--retries", self.retries, 0, MOST_RETRIES),
            ("--abandon-after-tokens", self.abandon_after_tokens, 1, 10**9),
        )
        if not 0.05 <= self.interval_s <= 10:
            raise UsageError("--interval must lie between 50ms and 10s")
        if not 1 <= self.progress_s <= LONGEST_PROGRESS_S or self.progress_s % 1:
            raise UsageError("--progress must be whole seconds, from 1s to 1h")
        self._check_run()
        self._check_words()
        if self.is_mix:
            self._check_tasks()  # what the options of the run say of a request is only what tasks take over
        else:
            self._check_request()
            self._check_texts_of_turns()
            self.check_prompts()
            self._check_abandoning()
            self._check_objectives()
        if self.fail_if or self.abort_if:
            steps = step_facts((task, step, own.turns) for task, step, own in self.each_step)
            check_thresholds("--fail-if", self.fail_if, self, steps)
            check_thresholds("--abort-if", self.abort_if, self, steps)
        self._check_cost()

    def _check_run(self) -> None:
        if self.model is not None and self.models:
            raise UsageError("--model and --models can't be used together: drop one of them")
        if self.headless and self.tui:
            raise UsageError("--headless and --tui can't be used together: drop one of them")

    def _check_tasks(self) -> None:
        check_scenario(self.tasks, self, DEFAULTS)
        tasks = self.each_task
        names = [task.name for task, _ in tasks]
        if len(names) > MOST_TASKS:
            raise UsageError(f"the run would have {len(names):,} tasks, and at most {MOST_TASKS} are possible")
        for index, (task, _) in enumerate(tasks):
            at = f"{task.origin}: " if task.origin else "--models: "
            if task.name in names[:index]:
                raise UsageError(f"{at}two tasks are called {task.name!r}")
            if task.name == BYSTANDER_NAME:
                raise UsageError(f"{at}a task can't be called {task.name!r}: that is what --bystander sends")
            if task.name in FIRST_WORDS:
                raise UsageError(
                    f"{at}{task.name!r} can't be the name of a task: it is a figure of the run in thresholds"
                )
        if self.once:
            raise UsageError("--once can't be used with tasks: say with --requests or --duration how long the run is")
        for task, own in tasks:
            if task.steps:
                check_flow(task, self, own)
        steps = self.each_step
        without = [task.name for task, _, own in steps if own.url is None]
        if 0 < len(without) < len(steps):
            raise UsageError(
                f"the task {without[0]} has no target, and others have one: give it a url, or give --url for all"
            )

    @property
    def is_mix(self) -> bool:
        """There is more than one kind of request, or the only one has a name."""
        return bool(self.tasks or self.models)

    @property
    def has_target(self) -> bool:
        """Whether there is a target; if not, the built-in mock is loaded."""
        return self.url is not None or any(map(has_url, self.tasks))

    @property
    def has_sessions(self) -> bool:
        """Whether requests of any task are turns of conversations, or steps of flows."""
        return self.converses or any(task.steps or task.script for task in self.tasks)

    @property
    def converses(self) -> bool:
        """Whether requests of any task are turns of conversations."""
        return self.turns is not None or any(task.own.get("turns") is not None for task in self.tasks)

    def of_task(self, task: OwnOptions) -> "Options":
        """The options of a run whose requests are all of this task.

        Raises:
            UsageError: they contradict each other.
        """
        changes = changes_of(task, DEFAULTS)
        if self.open and changes.get("turns", self.turns) is None:
            changes["think"] = Think()  # is for the tasks with conversations
        try:
            return msgspec.structs.replace(self, **{"models": None, **changes}, tasks=(), fail_if=(), abort_if=())
        except UsageError as error:
            if not task.origin:
                raise
            raise UsageError(f"{task.origin}: task {task.name}: {error}") from error

    @property
    def each_task(self) -> tuple[tuple[OwnOptions, "Options"], ...]:
        """The tasks with their options. A run without a mix has one, whose name is empty."""
        if not self.is_mix:
            return ((OwnOptions(name=""), self),)
        given = self.tasks or (OwnOptions(name=""),)
        lists = [() if "model" in task.own else task.own.get("models", self.models) or () for task in given]
        return tuple((task, self.of_task(task)) for task in by_model([*zip(given, lists, strict=True)]))

    @property
    def each_step(self) -> tuple[tuple[OwnOptions, OwnStep | None, "Options"], ...]:
        """The tasks with their options, and instead of one that is a flow, its steps with theirs.

        Raises:
            UsageError: the options of a step contradict each other.
        """
        return tuple(
            (task, step, options if step is None else options.of_step(step))
            for task, options in self.each_task
            for step in (task.steps or (None,))
        )

    def of_step(self, step: OwnStep) -> "Options":
        """The options of a run whose requests are all those of this step. These here are the options of its task.

        Raises:
            UsageError: they contradict each other.
        """
        try:
            return msgspec.structs.replace(self, **changes_of_step(step, msgspec.structs.asdict(self), DEFAULTS))
        except UsageError as error:
            raise UsageError(f"{step.origin}: step {step.name}: {error}") from error

    def _check_request(self) -> None:
        if not self.keepalive and self.requests_per_connection is not None:
            raise UsageError("--no-keepalive and --requests-per-connection can't be used together: drop one of them")
        if self.min_tokens is not None and self.trace is not None:
            raise UsageError(
                "--min-tokens can't be used with --trace, which sets the output lengths; for answers of exactly these "
                "lengths, use --ignore-eos"
            )
        if self.min_tokens is not None and self.min_tokens > (most := self.ask("").limit):
            raise UsageError(f"--min-tokens {self.min_tokens} is more than --max-tokens ({most})")
        if self.key is not None and self.cert is None:
            raise UsageError(
                "--key needs a client certificate: give it with --cert; for an API key, use --api-key-env NAME"
            )
        if self.insecure and self.cacert is not None:
            raise UsageError("--insecure and --cacert can't be used together: drop one of them")
        if self.url is None:
            for flag, given in (
                ("--proxy", self.proxy not in (None, "none")),
                ("--unix-socket", self.unix_socket is not None),
                ("--resolve", bool(self.resolve)),
                ("--cacert", self.cacert is not None),
                ("--insecure", self.insecure),
                ("--cert", self.cert is not None),
            ):
                if given:
                    raise UsageError(f"{flag} needs a target (--url); without one the built-in mock is loaded")
        if self.unix_socket is not None:
            for flag, given in (
                ("--proxy", self.proxy not in (None, "none")),
                ("--resolve", bool(self.resolve)),
                ("--source-ip", bool(self.source_ips)),
            ):
                if given:
                    raise UsageError(f"{flag} can't be used with --unix-socket: drop one of them")

    def _check_texts_of_turns(self) -> None:
        if self.turns is None:
            return
        if self.prompt_ids:
            raise UsageError("--turns needs texts, so it can't be used with --prompt-ids: drop one of them")
        if self.token_ids:
            raise UsageError("--turns needs texts, so it can't be used with --token-ids: drop one of them")
        if self.body is not None and "{prompt}" not in self.body:
            raise UsageError("--turns needs a place in --body: write {prompt} where the conversation belongs")

    def _check_abandoning(self) -> None:
        after = "--abandon-after" if self.abandon_after is not None else "--abandon-after-tokens"
        given = self.abandon_after is not None or self.abandon_after_tokens is not None
        if given and not self.abandon:
            raise UsageError(f"{after} needs the share of the requests that are abandoned, e.g. --abandon 20%")
        if self.abandon and not given:
            raise UsageError("--abandon needs a moment: --abandon-after 5s, or --abandon-after-tokens 20")
        if self.abandon_after_tokens is not None and not self.stream:
            raise UsageError("--abandon-after-tokens needs answers that are streamed: drop --no-stream")

    def _check_objectives(self) -> None:
        if self.stream:
            return
        for flag, given in (
            ("--deadline", self.deadlines is not None),
            ("--reading-speed", self.reading_speed is not None),
        ):
            if given:
                raise UsageError(f"{flag} needs answers that are streamed: drop --no-stream")
        for slo in self.objectives.slos:
            if slo.metric in OF_STREAMS:
                flag = "--slo" if slo in self.slos else f"--slo-preset {self.slo_preset}:"
                raise UsageError(
                    f"{flag} {slo.text} needs answers that are streamed: drop --no-stream, or limit e2e or ttfb"
                )

    def _check_cost(self) -> None:
        if self.max_cost is not None and not 0 < self.max_cost <= HIGHEST:
            raise UsageError("--max-cost must be an amount above 0, like 5 or 0.25")
        for flag, given in (("--price", self.price), ("--prices", self.prices)):
            if given is not None and self.cost_per_hour is not None:
                raise UsageError(
                    f"--cost-per-hour is for your own hardware and {flag} for tokens that are paid: drop one of them"
                )

    def _check_words(self) -> None:
        for name, value in self.headers:
            if name.lower() in ("content-length", "transfer-encoding"):
                raise UsageError(f"--header {name}: llmstress sets the length of the body itself")
            if name.lower() == "connection":
                raise UsageError(f"--header {name}: use --no-keepalive or --requests-per-connection instead")
            if len(value) > LONGEST_HEADER:
                raise UsageError(f"--header {name}: its value is too long for any server ({len(value):,} characters)")
        for source in self.source_ips:
            if not is_address(source):
                raise UsageError(f"--source-ip {source!r} is not an IP address like 192.0.2.7 or 2001:db8::7")
        for flag, text in (("--url", self.url), ("--model", self.model)):
            if text == "":
                raise UsageError(f"{flag} is empty: give a value, or leave it out")
        for flag, text in (
            ("--trace", self.trace),
            ("--prompts", self.prompts),
            ("--scenario", self.scenario),
            ("--prompt-column", self.prompt_column),
            ("--tokenizer", self.tokenizer),
            ("--prices", None if self.prices is None else self.prices.name),
            ("--prompt", self.prompt),
            ("--system", self.system),
            ("--model", self.model),
            ("--body", self.body),
            ("--text", self.text),
            ("--done", self.done),
            ("--error-event", self.error_event),
            ("--output", self.output),
            ("--record", self.record),
            ("--log-file", self.log_file),
            ("--unix-socket", self.unix_socket),
            ("--cacert", self.cacert),
            ("--cert", self.cert),
            ("--key", self.key),
        ):
            if text is not None and _SURROGATE.search(text):  # Python decodes invalid UTF-8 in argv to surrogates
                raise UsageError(f"{flag} is not UTF-8 text")

    def ask(self, model: str) -> Ask:
        """The content of every request for `model`."""
        return Ask(
            model=model,
            prompt=self.prompt,
            prompt_ids=self.prompt_ids,
            system=self.system,
            max_tokens=self.max_tokens if self.output_tokens is None else math.ceil(self.output_tokens.mean),
            min_tokens=self.min_tokens,
            ignore_eos=self.ignore_eos,
            limit_field=self.limit_field or "",
            stream=self.stream,
            usage=self.usage,
            batch=self.batch,
            encoding=self.encoding or "",
            extra=self.extra_body,
            version=self.api_version,
            auth=self.auth or "",
            method=self.method.upper(),
            body=self.body,
            text=self.text,
            done=self.done,
            error_event=self.error_event,
        )

    @property
    def objectives(self) -> Objectives:
        """What requests are judged by; in a mix, the limits of all tasks."""
        if self.is_mix:
            of_tasks = [slo for _, _, options in self.each_step for slo in options.objectives.slos]
            return Objectives(tuple(dict.fromkeys(of_tasks)), self.deadlines, self.reading_speed or 0.0)
        preset = PRESETS[self.slo_preset] if self.slo_preset is not None else ()
        slos = tuple(dict.fromkeys((*preset, *self.slos)))
        return Objectives(slos, self.deadlines, self.reading_speed or 0.0)

    @property
    def bands(self) -> Bounds | None:
        """Where long prompts and answers begin; None: requests are not told apart by their tokens."""
        if self.token_bands is not None:
            return None if self.token_bands == NO_BANDS else self.token_bands
        lengths = [each for each in (self.prompt_tokens, self.output_tokens) if each is not None]
        grow = self.trace is not None or self.prompts is not None or self.turns is not None
        vary = self.is_mix or grow or any(each.shape != "fixed" for each in lengths)
        return DEFAULT_BANDS if vary else None

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """All thresholds, those of `--fail-if` first."""
        return (*self.fail_if, *(msgspec.structs.replace(each, abort=True) for each in self.abort_if))


DEFAULTS: Mapping[str, Any] = {
    field.name: field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    for field in msgspec.structs.fields(Options)
    if not field.required
}
"""Field -> default, of the fields that have one."""
