"""One frozen, typed, validated description of a run, and the texts it is parsed from."""

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import msgspec

from llmstress.coordinator.errors import UsageError
from llmstress.engine import schedule

DEFAULT_DURATION_S = 60.0

_LONGEST_S = 366 * 86_400.0
"""The longest duration; timers overflow somewhere above it."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)
_KEY_OWNERS = {"OPENAI_API_KEY": "api.openai.com"}
"""Key variable -> the only host that it is sent to without being named."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_USER_INFORMATION = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?[^/?#]*@")
_SECRET_PARAMETER = re.compile(r"(?i)\b([\w.-]*(?:key|token|secret|password|signature|sig)[\w.-]*=)([^&#\s]+)")


class MaxErrors(msgspec.Struct, frozen=True):
    """When failures end the run: at `count` of them, or from `share` of the finished requests on."""

    count: int | None
    share: float | None


class Resolve(msgspec.Struct, frozen=True):
    """Where a host is, whatever DNS says."""

    host: str
    port: int
    addresses: tuple[str, ...]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a user can say about a run. Seconds where the name ends in `_s`."""

    url: str | None = None
    """Target as given; None: the built-in mock."""
    model: str | None = None
    procs: int
    streams: int = 100
    """Per process, unless `total` is given."""
    total: int | None = None
    """Streams of all processes together."""
    duration_s: float | None = None
    requests: int | None = None
    ramp_up_s: float = 0.0
    warmup_s: float = 0.0
    grace_s: float = 30.0
    prompt: str
    system: str | None = None
    max_tokens: int = 128
    stream: bool = True
    extra_body: dict[str, Any] = {}
    usage: bool = True
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
    timeout_first_token_s: float = 0.0
    timeout_idle_s: float = 120.0
    timeout_total_s: float = 0.0
    error_pause_s: float = 1.0
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
    histograms: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: one sentence that names the flag to change.
        """
        for flag, value in (("--procs", self.procs), ("--streams", self.streams), ("--max-tokens", self.max_tokens)):
            if value < 1:
                raise UsageError(f"{flag} must be at least 1, not {value}")
        if self.requests is not None and self.requests < 1:
            raise UsageError(f"--requests must be at least 1, not {self.requests}")
        if self.duration_s == 0:
            raise UsageError("--duration must be longer than 0")
        if self.headless and self.tui:
            raise UsageError("--headless and --tui contradict each other: drop one of them")
        if self.requests is not None and self.warmup_s:
            raise UsageError("--warmup has no meaning with --requests, whose window is the whole run: drop one of them")
        if not 0.05 <= self.interval_s <= 10:
            raise UsageError("--interval must lie between 50ms and 10s")
        if self.procs > 1024:
            raise UsageError(f"--procs must be at most 1024, not {self.procs}")
        for name, _ in self.headers:
            if name.lower() in ("content-length", "transfer-encoding"):
                raise UsageError(f"--header {name}: the length of the body is not yours to say")
        for flag, text in (("--prompt", self.prompt), ("--system", self.system), ("--model", self.model)):
            if text is not None and _SURROGATE.search(text):  # what Python makes of an argument that isn't UTF-8
                raise UsageError(f"{flag} is not UTF-8 text")

    @property
    def shares(self) -> list[int]:
        """Streams of each process; they sum to the total."""
        if self.total is None:
            return [self.streams] * self.procs
        return [schedule.share(self.total, self.procs, worker) for worker in range(self.procs)]

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
        """The window is the whole run, because it is counted in requests."""
        return self.requests is not None


class Target(msgspec.Struct, frozen=True):
    """Where requests go."""

    url: str
    """The endpoint, without user information."""
    models_url: str
    userinfo: str
    """`user:password` of the URL as given; empty without."""
    note: str
    """What was made of the URL, if the user may not expect it."""


def parse_duration(text: str) -> float:
    """Seconds of `500ms`, `2s`, `1m30s`, `1h`; a bare `0` is none.

    Raises:
        ValueError: it is none of these, a bare number for instance, or longer than a year.
    """
    match = _DURATION.fullmatch(text.strip())
    if text.strip() == "0":
        return 0.0
    if match is None or not text.strip():
        raise ValueError(f"{text!r} is no duration; write it like 500ms, 2s or 1m30s")
    hours, minutes, seconds, milliseconds = (float(group or 0) for group in match.groups())
    total = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    if total > _LONGEST_S:
        raise ValueError(f"{text!r} is longer than a year")
    return total


def parse_max_errors(text: str) -> MaxErrors:
    """`250` or `5%`.

    Raises:
        ValueError: it is neither.
    """
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s?%", text.strip())
    if match is None or float(match[1] or match[2]) <= 0 or float(match[2] or 0) > 100:
        raise ValueError(f"{text!r} is neither a number of errors like 250 nor a share like 5%")
    return MaxErrors(int(match[1]), None) if match[1] else MaxErrors(None, float(match[2]) / 100)


def parse_resolve(text: str) -> Resolve:
    """`host:port:address[,address...]`, as curl writes it; brackets around an IPv6 address are allowed.

    Raises:
        ValueError: it isn't.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:,\[\]]+):(\d{1,5}):(.+)", text.strip())
    addresses = [each.strip().removeprefix("[").removesuffix("]") for each in match[3].split(",")] if match else []
    if match is None or not all(is_address(each) for each in addresses):
        raise ValueError(f"{text!r} is not like example.com:443:192.0.2.1,192.0.2.2")
    return Resolve(match[1].strip("[]").lower(), int(match[2]), tuple(addresses))


def is_address(text: str) -> bool:
    """Whether it is an IP address, as opposed to a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_header(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Name and value of `Name: value`; a value `env:NAME` is read from the environment.

    Raises:
        ValueError: no colon, a line break, or no such variable.
    """
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon:
        raise ValueError("write it like 'Name: value'")  # without a colon the text may be the secret itself
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError(f"write it like 'Name: value'; {name!r} is no name")
    if value.startswith("env:"):
        variable = value[4:]
        if variable not in environ:
            raise ValueError(f"the environment has no variable {variable}")
        value = environ[variable].strip()
    if not _fits_a_header(value):
        raise ValueError(f"the value of {name} has characters that no header can carry")
    return name, value


def parse_target(url: str, path: str) -> Target:
    """Where requests to `url` go, for an API whose endpoint ends in `path`.

    Raises:
        UsageError: it is no http or https URL.
    """
    split = _split(url)
    if split is None:
        # what is no URL may have its "@" anywhere
        shown = redact_url(f"***@{url.rpartition('@')[2]}" if "@" in url else url)
        hint = f"; did you mean http://{shown}?" if "//" not in url and _split(f"http://{url}") is not None else ""
        raise UsageError(f"--url needs a URL like http://localhost:8000, not {shown!r}{hint}")
    given = split.path.rstrip("/")
    note = ""
    if given.endswith(path):
        base = given.removesuffix(path)
    elif not given:
        base = "/v1"
    else:
        base = given
        if not given.endswith("/v1"):
            note = f"{path} was appended to the path {given}"
    userinfo, _, host = split.netloc.rpartition("@")

    def build(end: str) -> str:
        return urlunsplit(SplitResult(split.scheme, host, base + end, split.query, ""))

    return Target(build(path), build("/models"), userinfo, note)


def _split(url: str) -> SplitResult | None:
    """The parts of an http or https URL; None: it is none that could be sent."""
    try:
        split = urlsplit(url)
        usable = split.scheme in ("http", "https") and split.hostname and split.port != 0
    except ValueError:  # a port that is no number or over 65535, brackets that hold no address
        return None
    return split if usable and url.isascii() and url.isprintable() and " " not in url else None


def _fits_a_header(value: str) -> bool:
    return value.isprintable() and value.isascii()


def find_key(options: Options, host: str, environ: Mapping[str, str]) -> str | None:
    """The API key to send to `host`: of the variable that was named, else a provider's own to the provider's host.

    Raises:
        UsageError: the variable that was named isn't set, or the key can't be sent.
    """
    named = options.api_key_env
    names = [named] if named is not None else [name for name, owner in _KEY_OWNERS.items() if host == owner]
    for name in names:
        if key := environ.get(name, "").strip():  # a key from a file often ends with a line break
            if not _fits_a_header(key):
                raise UsageError(f"the key in {name} has characters that no header can carry")
            return key
    if named is not None:
        raise UsageError(f"--api-key-env {named}: the environment has no such variable")
    return None


def redact_url(url: str) -> str:
    """`url` without user information and without the values of parameters that look like keys."""
    return _SECRET_PARAMETER.sub(r"\1***", _USER_INFORMATION.sub(r"\1***@", url))


def user_information(url: str) -> str:
    """`user:password` of a URL; empty without."""
    return urlsplit(url).netloc.rpartition("@")[0]


def secret_parameters(url: str) -> list[str]:
    """The values of parameters in `url` that look like keys."""
    return [value for _, value in _SECRET_PARAMETER.findall(url)]


def describe(options: Options) -> dict[str, Any]:
    """The options as the summary shows them: without secrets."""
    shown: dict[str, Any] = msgspec.to_builtins(options)
    shown["url"] = redact_url(options.url) if options.url is not None else None
    shown["headers"] = [f"{name}: ***" for name, _ in options.headers]
    shown["proxy"] = redact_url(options.proxy) if options.proxy is not None else None
    return shown


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
