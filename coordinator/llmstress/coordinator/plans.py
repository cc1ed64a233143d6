"""Options -> one plan per worker: exact shares, and the request that all of them send."""

import base64
import itertools
import math
from urllib.parse import unquote, urlsplit

from llmstress.coordinator.options import Options, Target, find_key, secret_parameters, user_information
from llmstress.engine import schedule
from llmstress.engine.api import APIS
from llmstress.engine.control import Network, Plan, Timeouts

DIALS, LEAST_DIALS = 256, 4
"""Connections that may be being opened at once, by all processes and by each."""

_SHORTEST_SECRET = 6
"""Header values shorter than this are no secrets, and blanking them out would garble error samples."""


def build_headers(options: Options, target: Target, environ: dict[str, str]) -> list[tuple[str, str]]:
    """The headers that the options ask for; those given by `--header` win.

    Raises:
        UsageError: the variable named by `--api-key-env` isn't set.
    """
    headers = list(options.headers)
    given = {name.lower() for name, _ in headers}
    key = find_key(options, urlsplit(target.url).hostname or "", environ)
    if "authorization" not in given:
        if key is not None:
            headers.append(("Authorization", f"Bearer {key}"))
        elif target.userinfo:
            user, _, password = target.userinfo.partition(":")
            encoded = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
            headers.append(("Authorization", f"Basic {encoded}"))
    return headers


def make_plans(
    options: Options, api: str, target: Target, model: str, headers: list[tuple[str, str]], networks: list[Network]
) -> list[Plan]:
    """One plan per worker, each with its network; their shares sum to the whole."""
    secrets = secrets_in(headers, target, networks[0].proxy)
    body = APIS[api].build_body(
        model=model,
        prompt=options.prompt,
        system=options.system,
        max_tokens=options.max_tokens,
        stream=options.stream,
        usage=options.usage,
        extra=options.extra_body,
    )
    ends = list(itertools.accumulate(options.shares))
    requests: list[int | None] = [None] * options.procs
    if options.requests is not None:  # in proportion to the streams
        upto = [0, *(options.requests * end // options.total_streams for end in ends)]
        requests = [after - before for before, after in itertools.pairwise(upto)]
    timeouts = Timeouts(
        connect_s=options.timeout_connect_s,
        first_token_ns=int(options.timeout_first_token_s * 1e9),
        idle_ns=int(options.timeout_idle_s * 1e9),
        total_ns=int(options.timeout_total_s * 1e9),
    )
    return [
        Plan(
            api=api,
            url=target.url,
            network=networks[worker],
            headers=headers,
            body=body,
            stream=options.stream,
            streams=share,
            worker=worker,
            workers=options.procs,
            requests=requests[worker],
            ramp_s=options.ramp_up_s,
            warmup_s=options.warmup_s,
            steady_s=options.steady_s,
            whole_run=options.whole_run,
            grace_s=options.grace_s,
            interval_s=options.interval_s,
            error_pause_s=options.error_pause_s,
            timeouts=timeouts,
            requests_per_connection=1 if not options.keepalive else options.requests_per_connection or 0,
            connect_gap_ns=_connect_gap_ns(options, target.url),
            dials=max(LEAST_DIALS, DIALS // options.procs),
            seed=options.seed,
            secrets=secrets,
            verbose=options.verbose or options.log_file is not None,
        )
        for worker, share in enumerate(options.shares)
    ]


def own_ramp_s(options: Options) -> float:
    """The ramp of a run that none was asked for: whole seconds that the opening of its connections takes.

    Without it thousands of streams would begin within the steady window, and be missing from its rates.
    """
    if options.whole_run:
        return 0.0
    opening_s = max(options.shares) * _connect_gap_ns(options, options.url or "") / 1e9
    return 0.0 if opening_s < 1 else float(math.ceil(opening_s))


def _connect_gap_ns(options: Options, url: str) -> int:
    return schedule.connect_gap_ns(options.procs, tls=url.startswith("https:"))


def secrets_in(headers: list[tuple[str, str]], target: Target, proxy: str = "") -> list[str]:
    """What must not be printed: header values, the credentials in them, and those in the URLs of target and proxy."""
    values = [value for _, value in headers]
    values += [value.split(" ", 1)[1] for value in values if value.lower().startswith(("bearer ", "basic "))]
    for userinfo in (target.userinfo, user_information(proxy)):
        password = userinfo.partition(":")[2]
        values += [userinfo, password, unquote(password)]
    values += secret_parameters(target.url)
    return sorted({value for value in values if len(value) >= _SHORTEST_SECRET})
