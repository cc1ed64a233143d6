"""One frozen, typed, validated description of a run."""

import contextlib
import re
from typing import Any

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.keys import is_secret, is_secret_name, variable_of
from llmstress.coordinator.config.parsing import MaxErrors, Resolve, is_address
from llmstress.coordinator.config.target_url import redact_url, secret_parameters, user_information
from llmstress.engine import schedule
from llmstress.engine.api.ask import Ask
from llmstress.engine.secrets import blank_out

DEFAULT_DURATION_S = 60.0

DEFAULT_STREAMS = 100
"""Of all processes together."""

LONGEST_PROGRESS_S = 3600

MOST_PROCS = 1024

MOST_STREAMS = 10**9
"""Beyond any machine; what a real one can do, preflight says."""

_MOST = 10**12
"""The highest number of anything: sums of them still fit into 64 bits."""

MOST_RETRIES = 1000

LONGEST_HEADER = 64 * 1024
"""Characters of a header's value; servers take 8 to 64 KiB for all of them together."""

_LONGEST_SHOWN = 200
"""Characters of a text, and token ids, that a summary shows."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a user can say about a run. Seconds where the name ends in `_s`."""

    url: str | None = None
    """Target as given; None: the built-in mock."""
    api: str | None = None
    """Name of the API; None: what the URL says."""
    model: str | None = None
    procs: int
    streams: int | None = None
    """Per process; None: a share of `total`."""
    total: int | None = None
    """Streams of all processes together; None: `streams` of each, or `DEFAULT_STREAMS` if that is None, too."""
    duration_s: float | None = None
    requests: int | None = None
    ramp_up_s: float = 0.0
    warmup_s: float = 0.0
    warmup_requests: int | None = None
    """The warm-up lasts until so many requests of all processes have ended."""
    grace_s: float = 30.0
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
    """URL; `none`: whatever the environment says, no proxy."""
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
    """Entries that change the table of what a failure means: status or class, meaning."""
    max_errors: MaxErrors | None = None
    max_total_tokens: int | None = None
    probe: bool = True
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
    """Time from one progress line to the next: whole seconds."""
    histograms: bool = False
    require_finish: bool = False

    def __post_init__(self) -> None:
        """Refuse what is absurd or contradicts itself.

        Raises:
            UsageError: one sentence that names the flag to change.
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
            ("--prompt", self.prompt),
            ("--system", self.system),
            ("--model", self.model),
            ("--body", self.body),
            ("--text", self.text),
            ("--done", self.done),
            ("--error-event", self.error_event),
        ):
            if text is not None and _SURROGATE.search(text):  # what Python makes of an argument that isn't UTF-8
                raise UsageError(f"{flag} is not UTF-8 text")

    def ask(self, model: str) -> Ask:
        """What every request asks of `model`."""
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
        total = self.total if self.total is not None else max(DEFAULT_STREAMS, self.procs)
        return [schedule.share(total, self.procs, worker) for worker in range(self.procs)]

    @property
    def total_streams(self) -> int:
        """Streams of all processes together."""
        return sum(self.shares)

    @property
    def steady_s(self) -> float | None:
        """Length of the steady window; None: as long as the requests last."""
        if self.duration_s is not None or self.requests is not None:
            return self.duration_s
        return DEFAULT_DURATION_S

    @property
    def whole_run(self) -> bool:
        """The window is the whole run, because it is counted in requests and has no warm-up."""
        return self.requests is not None and not self.warmup_s and self.warmup_requests is None


def describe(options: Options) -> dict[str, Any]:
    """The options as the summary shows them: without secrets."""
    shown: dict[str, Any] = msgspec.to_builtins(options)
    shown["url"] = redact_url(options.url) if options.url is not None else None
    hidden = secrets_in_text(options)
    shown["headers"] = [f"{name}: {_shown(name, value, hidden)}" for name, value in options.headers]
    shown["body"] = _shown_body(options.body, hidden) if options.body is not None else None
    shown["extra_body"] = _without_keys(options.extra_body)
    for name in ("prompt", "system", "body"):
        shown[name] = _shortened(shown[name])
    if len(options.prompt_ids) > _LONGEST_SHOWN:
        shown["prompt_ids"] = [*options.prompt_ids[:_LONGEST_SHOWN], f"… {len(options.prompt_ids):,} token ids"]
    shown["proxy"] = redact_url(options.proxy) if options.proxy is not None else None
    return shown


def _shown_body(body: str, hidden: list[str]) -> str:
    """A body without secrets, as it was written; JSON in which some are left (escaped ones) is written anew."""
    shown = blank_out(body, hidden)
    with contextlib.suppress(ValueError, RecursionError):  # it need not be JSON
        value = msgspec.json.decode(shown)
        if any(secret != "***" for _, secret in keys_in(value)):
            shown = msgspec.json.encode(_without_keys(value)).decode()
    return shown


def _shortened(text: str | None) -> str | None:
    """A prompt may be larger than all the rest of a summary."""
    if text is None or len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[:_LONGEST_SHOWN]}… ({len(text):,} characters)"


def secrets_in_text(options: Options) -> list[str]:
    """The secrets that stand in the options themselves: in headers, bodies and URLs."""
    places: list[Any] = [options.extra_body]
    with contextlib.suppress(ValueError, RecursionError):  # a body need not be JSON
        places.append(msgspec.json.decode(options.body or "{}"))
    found = [value for _, value in keys_in(places)]
    found += [value for name, value in options.headers if variable_of(value) is None and is_secret(name, value)]
    for url in (options.url or "", options.proxy or ""):
        found += [user_information(url).partition(":")[2], *secret_parameters(url)]
    return [value for value in found if value]


def _shown(name: str, value: str, hidden: list[str]) -> str:
    """A header's value: the name of a variable, a value that is no secret, or stars."""
    if variable_of(value) is not None:
        return value
    return "***" if is_secret(name, value) else blank_out(value, hidden)


def keys_in(value: Any) -> list[tuple[str, str]]:
    """Names and values of the strings in `value` whose names say that they are secrets."""
    if isinstance(value, list):
        return [found for each in value for found in keys_in(each)]
    if not isinstance(value, dict):
        return []
    return [
        found for name, each in value.items() for found in ([(name, each)] if _is_key(name, each) else keys_in(each))
    ]


def _without_keys(value: Any) -> Any:
    """`value` without the strings whose names say that they are secrets, and with long ones shortened."""
    if isinstance(value, list):
        return [_without_keys(each) for each in value]
    if not isinstance(value, dict):
        return _shortened(value) if isinstance(value, str) else value
    return {name: "***" if _is_key(name, each) else _without_keys(each) for name, each in value.items()}


def _is_key(name: str, value: Any) -> bool:
    return isinstance(value, str) and is_secret_name(name)
