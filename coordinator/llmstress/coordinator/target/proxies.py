"""Whose words an answer through a proxy is, and how to go without the proxy. Pure functions.

Only plain http: in a tunnel (https) every answer is the target's, and a proxy's refusal is a failed connect.
"""

import ipaddress
import re
from collections.abc import Mapping
from enum import Enum

import msgspec

_PROXY_SOFTWARE = re.compile(r"(?i)squid|tinyproxy|privoxy|polipo|proxy\.py|mitmproxy|zscaler|bluecoat|proxysg|mcafee")
"""What proxies call themselves in `Server`. They leave the target's own name there when they pass its answer on."""

_OF_EITHER = (403, 502, 503, 504, 511)
"""Statuses that a proxy gives for a target that it does not allow or does not reach, and targets give as well."""


class Source(Enum):
    """Who has answered."""

    TARGET = "target"
    PROXY = "proxy"
    EITHER = "either"
    """Nothing in the answer tells."""


def source_of(status: int, headers: Mapping[str, str], body: str, host: str) -> Source:
    """Who has given an answer to a plain request for `host` through a proxy; names of headers in lower case.

    `Via` proves nothing: proxies add it to what they pass on. An API's own refusal is a JSON object.
    """
    if status == 407 or "proxy-authenticate" in headers or "x-squid-error" in headers:
        return Source.PROXY
    if status < 400 or status == 401:
        return Source.TARGET
    if "error=" in headers.get("proxy-status", "") or _PROXY_SOFTWARE.search(headers.get("server", "")):
        return Source.PROXY
    if status not in _OF_EITHER or _is_json_object(body):
        return Source.TARGET
    return Source.PROXY if is_near(host) else Source.EITHER


def is_near(host: str) -> bool:
    """Whether this is the machine itself or an address of a private network: a proxy elsewhere doesn't reach those."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost")


def way_around(host: str) -> str:
    """How to go without the proxy."""
    return f"to bypass it, use --proxy none, or set no_proxy={host} in the environment"


def hint_of(status: int, headers: Mapping[str, str], body: str, host: str) -> str:
    """What to do about an answer through a proxy; empty if the target gave it."""
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
        return body.lstrip().startswith('{"')  # its beginning
