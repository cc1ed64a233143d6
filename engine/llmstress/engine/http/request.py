"""The bytes of a request. Requests of a task differ in their body alone, so the head is encoded once."""

from base64 import b64encode
from urllib.parse import unquote, urlsplit

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Framing
from llmstress.engine.control import TaskPlan

LENGTH = "\n\n"
"""Placeholder for the length of the body in an encoded head. Lines end with CR LF, so a head contains it nowhere
else."""


class RequestBuilder:
    """Encodes the requests of one task: the head once, then `Content-Length` and the body of each request."""

    __slots__ = ("_api", "_head", "_rest")

    def __init__(self, plan: TaskPlan, api: Api) -> None:
        """Takes the URL, the headers and the network settings from `plan`, and method and body from `api`."""
        self._api = api
        self._head, _, self._rest = head_of(plan, api).partition(LENGTH.encode())

    def build(self, ask: Ask) -> bytes:
        """Head and body of a request that asks `ask`."""
        body = self._api.body(ask)
        if not self._rest:
            return self._head + body
        return b"%b%d%b%b" % (self._head, len(body), self._rest, body)


def head_of(plan: TaskPlan, api: Api) -> bytes:
    """The head of the task's requests, with `LENGTH` where the length of the body belongs.

    It asks for `Accept-Encoding: identity`, because a compressed stream arrives in bursts unless the server flushes the
    compressor after every event.
    """
    url = urlsplit(plan.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    proxied = bool(plan.network.proxy) and url.scheme == "http"
    if proxied:
        target = f"http://{url.netloc}{target}"  # a proxy without a tunnel needs the absolute form (RFC 9112, 3.2.2)
    body = api.body(api.ask)
    headers = {
        "Host": url.netloc.rpartition("@")[2],
        "Accept": _accepted(api),
        "Accept-Encoding": "identity",
        "User-Agent": "llmstress",
    }
    if body:
        headers["Content-Type"] = "application/json"
    names = {name.lower(): name for name in headers}
    for name, value in plan.headers:
        headers.pop(names.get(name.lower(), ""), None)
        names[name.lower()] = name
        headers[name] = value
    if plan.requests_per_connection == 1:
        headers.pop(names.get("connection", ""), None)
        headers["Connection"] = "close"
    if proxied and (credentials := urlsplit(plan.network.proxy).netloc.rpartition("@")[0]):
        headers["Proxy-Authorization"] = basic(credentials)
    if body or api.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = LENGTH
    lines = [f"{api.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def basic(userinfo: str) -> str:
    """The value of an Authorization header for the `user:password` of a URL (RFC 7617)."""
    user, _, password = userinfo.partition(":")
    return f"Basic {b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"


def _accepted(api: Api) -> str:
    if not api.streamed:
        return "application/json" if api.PATH else "*/*"
    return "text/event-stream" if api.FRAMING is Framing.EVENTS else "*/*"
