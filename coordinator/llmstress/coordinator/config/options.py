"""The options of a run: one frozen, typed, validated struct."""

import re
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.parsing import MaxErrors, Resolve, is_address
from llmstress.engine import schedule
from llmstress.engine.api.ask import Ask

DEFAULT_DURATION_S = 60.0

DEFAULT_STREAMS = 100
"""Streams of all processes together if neither `--streams` nor `--total-streams` is given."""

LONGEST_PROGRESS_S = 3600

MOST_PROCS = 1024

MOST_STREAMS = 10**9
"""Beyond any machine; `host/preflight.py` compares the number with the limits of this one."""

_MOST = 10**12
"""The highest value of most numbers: sums of such values still fit into 64 bits."""

MOST_RETRIES = 1000

SLOWEST, FASTEST = 0.001, 1000.0
"""Bounds of `--speed`."""

LONGEST_HEADER = 64 * 1024
"""Most characters of a header's value; servers accept 8 to 64 KiB for all headers together."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def default_total(procs: int | None) -> int:
    """The default of `--total-streams`: `DEFAULT_STREAMS`, or one stream per process if there are more processes.

    `procs`: the value of `--procs`; None: not given.
    """
    return max(DEFAULT_STREAMS, procs or 0)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options of a run. Names that end in `_s` are seconds."""

    url: str | None = None
    """Target as given; None: the built-in mock."""
    api: str | None = None
    """Name of the API; None: guessed from the URL."""
    model: str | None = None
    procs: int
    streams: int | None = None
    """Streams of each process; None: a share of `total`."""
    total: int | None = None
    """Streams of all processes together; None: `streams` of each process, or the default if that is None as well."""
    duration_s: float | None = None
    requests: int | None = None
    ramp_up_s: float = 0.0
    warmup_s: float = 0.0
    warmup_requests: int | None = None
    """The warm-up lasts until this many requests of all processes have ended; None: `warmup_s`."""
    grace_s: float = 30.0
    trace: str | None = None
    """File with the arrivals; None: there is no trace."""
    speed: float = 1.0
    """The trace is replayed so many times as fast as it was recorded."""
    skip_bad_rows: bool = False
    prompt: str
    system: str | None = None
    max_tokens: int | None = None
    stream: bool = True
    extra_body: dict[str, Any] = {}
    usage: bool = True
    prompt_ids: tuple[int, ...] = ()
    min_tokens: int | None = None
    ignore_eos: bool = False
    limit_field: str | None = None
    batch: int = 1
    encoding: str | None = None
    auth: str | None = None
    api_version: str = ""
    method: str = ""
    body: str | None = None
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
    probe: bool = True
    """Request the target's models before the run; False: `--no-probe`."""
    seed: int = 0
    interval_s: float = 0.25
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

    def __post_init__(self) -> None:
        """Check bounds, contradictions and texts.

        Raises:
            UsageError: a check failed; the message names the flag.
        """
        for flag, value, low, high in (
            ("--procs", self.procs, 1, MOST_PROCS),
            ("--streams", self.streams, 1, MOST_STREAMS),
            ("--total-streams", self.total, 1, MOST_STREAMS),
            ("--requests", self.requests, 1, _MOST),
            ("--warmup-requests", self.warmup_requests, 1, _MOST),
            ("--requests-per-connection", self.requests_per_connection, 1, _MOST),
            ("--max-tokens", self.max_tokens, 1, 10**9),
            ("--min-tokens", self.min_tokens, 0, 10**9),
            ("--batch", self.batch, 1, 100_000),
            ("--max-total-tokens", self.max_total_tokens, 1, 10**15),
            ("--retries", self.retries, 0, MOST_RETRIES),
            ("--speed", self.speed, SLOWEST, FASTEST),
            ("--seed", self.seed, 0, (1 << 63) - 1),
        ):
            if value is not None and not low <= value <= high:
                bound = f"at least {low}" if value < low else f"at most {high}"
                raise UsageError(f"{flag} must be {bound}, not {value}")
        if self.duration_s == 0:
            raise UsageError("--duration must be longer than 0")
        if not 0.05 <= self.interval_s <= 10:
            raise UsageError("--interval must lie between 50ms and 10s")
        if not 1 <= self.progress_s <= LONGEST_PROGRESS_S or self.progress_s % 1:
            raise UsageError("--progress must be whole seconds, from 1s to 1h")
        self._check_contradictions()
        self._check_trace()
        self._check_words()

    def _check_contradictions(self) -> None:
        if self.streams is not None and self.total is not None:
            raise UsageError("--streams (per process) and --total-streams can't be used together: drop one of them")
        if self.headless and self.tui:
            raise UsageError("--headless and --tui can't be used together: drop one of them")
        if self.warmup_requests is not None and self.warmup_s:
            raise UsageError("--warmup and --warmup-requests can't be used together: drop one of them")
        if not self.keepalive and self.requests_per_connection is not None:
            raise UsageError("--no-keepalive and --requests-per-connection can't be used together: drop one of them")
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

    def _check_trace(self) -> None:
        if self.trace is None:
            for flag, given in (("--speed", self.speed != 1), ("--skip-bad-rows", self.skip_bad_rows)):
                if given:
                    raise UsageError(f"{flag} needs a trace: give its file with --trace FILE")
            return
        for flag, given in (
            ("--streams", self.streams is not None),
            ("--requests", self.requests is not None),
            ("--ramp-up", self.ramp_up_s > 0),
        ):
            if given:
                raise UsageError(f"{flag} can't be used with --trace, which sets the arrivals: drop one of them")
        if self.min_tokens is not None:
            raise UsageError(
                "--min-tokens can't be used with --trace, which sets the output lengths; for answers of exactly these "
                "lengths, use --ignore-eos"
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
            ("--prompt", self.prompt),
            ("--system", self.system),
            ("--model", self.model),
            ("--body", self.body),
            ("--text", self.text),
            ("--done", self.done),
            ("--error-event", self.error_event),
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
            max_tokens=self.max_tokens,
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
    def shares(self) -> list[int]:
        """Streams of each process; they sum to the total. By default each process has at least one."""
        if self.streams is not None:
            return [self.streams] * self.procs
        total = self.total if self.total is not None else default_total(self.procs)
        return [schedule.share(total, self.procs, worker) for worker in range(self.procs)]

    @property
    def total_streams(self) -> int:
        """Streams of all processes together."""
        return sum(self.shares)

    @property
    def steady_s(self) -> float | None:
        """Length of the steady window; None: until `requests` are used up."""
        if self.duration_s is not None or self.requests is not None:
            return self.duration_s
        return DEFAULT_DURATION_S

    @property
    def whole_run(self) -> bool:
        """Whether the steady window is the whole run: it is counted in requests, and there is no warm-up."""
        return self.requests is not None and not self.warmup_s and self.warmup_requests is None
