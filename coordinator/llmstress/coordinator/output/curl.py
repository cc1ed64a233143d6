"""Requests as curl commands for a POSIX shell, with secrets blanked. Pure functions."""

import contextlib
import shlex
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.config.keys import is_secret, keys_in, names_a_secret
from llmstress.coordinator.config.target_url import redact_url
from llmstress.engine.control import Network
from llmstress.engine.secrets import redact

LONGEST_BODY = 2048
"""Bytes of a body that are shown; of a longer one this many."""

_PROXY_CREDENTIALS = "proxy-authorization"

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 :_-./=;,+@*()")
"""Characters that mean themselves between double quotes."""


class Blanks(msgspec.Struct, frozen=True):
    """How secrets are left out of a command."""

    secrets: Collection[str] = ()
    """Texts that become `***`."""
    variables: Mapping[str, tuple[str, str]] = {}
    """Name of a header, in lower case -> the secret in its value, and the environment variable that has it."""


def curl_command(
    data: bytes, url: str, network: Network, blanks: Blanks, *, streamed: bool, proxies: bool = False
) -> str:
    """The lines of a command that sends a request.

    Args:
        data: head and body as they are sent.
        url: a URL of the target; the path of the request is that of `data`.
        network: the way to the target.
        blanks: what is left out.
        streamed: the answer comes in pieces.
        proxies: the environment names proxies, which curl would use.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    place = urlsplit(url)
    host = place.netloc.rpartition("@")[2]
    asked = path if path.startswith(("http://", "https://")) else f"{place.scheme}://{host}{path}"
    shown = redact(redact_url(asked), blanks.secrets)
    arguments = [f"{' '.join(['curl', *_switches(asked, network, streamed=streamed)])} {shlex.quote(shown)}"]
    if method == "HEAD":
        arguments.append("--head")
    elif method != ("POST" if body else "GET"):
        arguments.append(f"-X {shlex.quote(method)}")
    arguments += _way(place.hostname or "", place.port or (443 if place.scheme == "https" else 80), network, blanks)
    if proxies and not (network.proxy or network.unix_socket):
        arguments.append("--noproxy '*'")
    arguments += [
        f"-H {_header(name, value, blanks)}"
        for name, value in headers
        if not _made_by_curl(name.lower(), value, host, network)
    ]
    named = {name.lower() for name, _ in headers}
    before, after = "", ""
    if body:
        if "content-type" not in named:
            arguments.append("-H 'Content-Type:'")  # curl would send one of its own
        option, before, after = _body(body, blanks)
        arguments.append(option)
    elif "content-length" in named and method != "HEAD":
        arguments.append("--data-raw ''")
    return before + " \\\n  ".join(arguments) + after


def _switches(url: str, network: Network, *, streamed: bool) -> list[str]:
    split = urlsplit(url)
    rest = f"{split.path}?{split.query}"
    switches = {
        "--no-buffer": streamed,
        "--http1.1": split.scheme == "https",
        "--globoff": any(sign in rest for sign in "[]{}"),
        "--path-as-is": "/." in split.path,
        "--insecure": network.tls.insecure,
    }
    return [switch for switch, given in switches.items() if given]


def _way(host: str, port: int, network: Network, blanks: Blanks) -> list[str]:
    """The options for the way to the target."""
    given = [
        ("--unix-socket", network.unix_socket),
        ("--proxy", redact(redact_url(network.proxy), blanks.secrets)),
        ("--resolve", f"{host}:{port}:{','.join(network.addresses)}" if network.addresses else ""),
        ("--interface", network.sources[0] if network.sources else ""),
        ("--cacert", network.tls.ca_file),
        ("--cert", network.tls.cert_file),
        ("--key", network.tls.key_file),
    ]
    found = [f"{option} {shlex.quote(value)}" for option, value in given if value]
    return found


def _made_by_curl(name: str, value: str, host: str, network: Network) -> bool:
    """Whether curl sends this header by itself, or it comes from the URL of the proxy."""
    if name == "host":
        return value == host
    return name == "content-length" or (name == _PROXY_CREDENTIALS and bool(network.proxy))


def _header(name: str, value: str, blanks: Blanks) -> str:
    """A header as one word of the shell."""
    if not value:
        return shlex.quote(f"{name};")  # curl's way to write a header without a value
    secret, variable = blanks.variables.get(name.lower(), ("", ""))
    if secret and secret in value:
        before, _, after = value.partition(secret)
        before, after = f"{name}: {before}", redact(after, blanks.secrets)
        if _PLAIN.issuperset(before + after):
            return f'"{before}${{{variable}}}{after}"' if after else f'"{before}${variable}"'
        return f'{shlex.quote(before)}"${variable}"{shlex.quote(after) if after else ""}'
    if is_secret(name, value):
        return shlex.quote(f"{name}: ***")
    return shlex.quote(redact(f"{name}: {value}", blanks.secrets))


def _body(body: bytes, blanks: Blanks) -> tuple[str, str, str]:
    """The option with the body, what comes before the command, and what comes after it."""
    blanked = _without_secrets(body, blanks.secrets)
    shown = blanked[:LONGEST_BODY]
    while len(shown) < len(blanked) and shown and blanked[len(shown)] & 0xC0 == 0x80:
        shown = shown[:-1]  # not within a character
    more = len(blanked) - len(shown)
    after = f"\n# ... {more:,} more byte{'' if more == 1 else 's'}: the body is cut here" if more else ""
    with contextlib.suppress(UnicodeDecodeError):
        text = shown.decode()
        if all(each.isprintable() or each in "\n\t" for each in text):
            return f"--data-raw {shlex.quote(text)}", "", after
    return "--data-binary @-", f"printf {_octal(shown)} |\n", after


def _octal(data: bytes) -> str:
    """Bytes as a format of printf, in single quotes."""
    safe = b"%'\\"
    return (
        "'"
        + "".join(chr(each) if 32 <= each < 127 and each not in safe else f"\\{each:03o}" for each in data).replace(
            "\\045", "%%"
        )
        + "'"
    )


def _without_secrets(body: bytes, secrets: Collection[str]) -> bytes:
    """A body with stars instead of secrets. JSON with members whose names say that they are secrets is encoded anew."""
    shown = redact(body.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")
    with contextlib.suppress(ValueError, RecursionError):  # it may be something other than JSON
        value = msgspec.json.decode(shown)
        if any(secret != "***" for _, secret in keys_in(value)):
            return msgspec.json.encode(_blanked(value))
    return shown


def _blanked(value: Any) -> Any:
    if isinstance(value, list):
        return [_blanked(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: "***" if names_a_secret(name, each) else _blanked(each) for name, each in value.items()}
