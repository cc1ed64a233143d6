"""Tells answers of a proxy from those of the target, and says how to bypass the proxy. Pure functions.

This concerns plain http only. With https the proxy opens a tunnel: every answer comes from the target, and a refusal of
the proxy is a failed connect.
"""

import ipaddress
import re
from collections.abc import Mapping
from enum import Enum

import msgspec

_PROXY_SOFTWARE = re.compile(r"(?i)squid|tinyproxy|privoxy|polipo|proxy\.py|mitmproxy|zscaler|bluecoat|proxysg|mcafee")
"""Names of proxies in the header `Server`. When proxies forward an answer, they keep the target's `Server`."""

_AMBIGUOUS_STATUSES = (403, 502, 503, 504, 511)
"""Statuses that a proxy uses for a target that it blocks or can't reach, and that targets use as well."""


class Source(Enum):
    """Where an answer comes from."""

    TARGET = "target"
    PROXY = "proxy"
    EITHER = "either"
    """The answer does not show it."""


def source_of(status: int, headers: Mapping[str, str], body: str, host: str) -> Source:
    """Where the answer to a plain http request for `host` through a proxy comes from.

    `Via` proves nothing, because proxies add it to answers that they forward. A refusal of an API is a JSON object.

    Args:
        status: status of the answer.
        headers: headers of the answer, names in lower case.
        body: the beginning of the body.
        host: host of the target.
    """
    if status == 407 or "proxy-authenticate" in headers or "x-squid-error" in headers:
        return Source.PROXY
    if status < 400 or status == 401:
        return Source.TARGET
    if "error=" in headers.get("proxy-status", "") or _PROXY_SOFTWARE.search(headers.get("server", "")):
        return Source.PROXY
    if status not in _AMBIGUOUS_STATUSES or _is_json_object(body):
        return Source.TARGET
    return Source.PROXY if is_near(host) else Source.EITHER


def is_near(host: str) -> bool:
    """Whether `host` is this machine or in a private network, which an outside proxy can't reach."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost")


def way_around(host: str) -> str:
    """How to bypass the proxy for `host`."""
    return f"to bypass it, use --proxy none, or set no_proxy={host} in the environment"


def hint_of(status: int, headers: Mapping[str, str], body: str, host: str) -> str:
    """Advice about an answer through a proxy; empty if it comes from the target. For the arguments, see `source_of`."""
    source = source_of(status, headers, body, host)
    if source is Source.TARGET:
        return ""
    if status == 407:
        return f"the proxy requires a valid user and password in its URL; {way_around(host)}"
    comes = "comes" if source is Source.PROXY else "may come"
    return f"this answer {comes} from the proxy, not from the target; {way_around(host)}"


def _is_json_object(body: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (ValueError, RecursionError):
        return body.lstrip().startswith('{"')  # only the beginning is there
