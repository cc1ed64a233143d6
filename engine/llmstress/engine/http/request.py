"""The bytes of a request: built once, because nothing in them varies."""

from base64 import b64encode
from urllib.parse import unquote, urlsplit

from llmstress.engine.api.base import Api, Framing
from llmstress.engine.control import Plan


def build_request(plan: Plan, api: Api) -> bytes:
    """Head and body of the plan's request.

    `Accept-Encoding: identity`: a compressed stream is delivered in bursts unless the server flushes every event.
    """
    url = urlsplit(plan.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    proxied = bool(plan.network.proxy) and url.scheme == "http"
    if proxied:
        target = f"http://{url.netloc}{target}"  # a proxy that opens no tunnel wants it whole (RFC 9112, 3.2.2)
    body = api.body()
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
        headers["Content-Length"] = str(len(body))
    lines = [f"{api.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def basic(userinfo: str) -> str:
    """The value of a header that carries the `user:password` of a URL."""
    user, _, password = userinfo.partition(":")
    return f"Basic {b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"


def _accepted(api: Api) -> str:
    if not api.streamed:
        return "application/json" if api.PATH else "*/*"
    return "text/event-stream" if api.FRAMING is Framing.EVENTS else "*/*"
