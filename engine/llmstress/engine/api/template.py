"""Endpoints without a known API: the user gives URL, method and body, in which `{prompt}` and `{model}` are filled
in."""

import re
from collections.abc import Callable
from urllib.parse import quote

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Endpoint, escaped

_PLACEHOLDER = re.compile(r"\{(prompt|model)\}")
_OTHER_PLACEHOLDER = re.compile(r"(?<!\{)\{(?!prompt\}|model\})[A-Za-z_]+\}(?!\})")
"""Two braces are variables of flows."""

_METHOD = re.compile(r"(?!CONNECT$)[A-Z]{1,20}")


class Template(Api):
    """Base class of the APIs for such endpoints. The URL is used unchanged, and there is no list of models."""

    TAKES = frozenset({"method", "body", "auth"})
    NEEDS_MODEL = False

    def __init__(self, ask: Ask) -> None:
        """Checks the method and the body.

        Raises:
            ValueError: the method is not supported, or `ask` has members to merge into a JSON body.
        """
        super().__init__(ask)
        if ask.method and not _METHOD.fullmatch(ask.method):
            raise ValueError(f"--method {ask.method} is not supported")
        if ask.extra:
            raise ValueError("--extra-body needs a JSON body to be merged into; put everything into --body")

    @property
    def method(self) -> str:
        """The user's method, or GET without a body and POST with one."""
        return self.ask.method or ("GET" if self.ask.body is None else "POST")

    def endpoint(self, path: str, query: str) -> Endpoint:
        """The user's URL, in which prompt and model are filled in with percent-encoding."""
        other = _OTHER_PLACEHOLDER.search(f"{path}?{query} {self.ask.body or ''}")
        note = f"{other[0]} is sent as it is: only {{prompt}} and {{model}} are filled in" if other else ""
        return Endpoint(_fill(path or "/", self.ask, _percent), _fill(query, self.ask, _percent), note=note)

    def encode(self, ask: Ask) -> bytes:
        """The user's body. Prompt and model are escaped as in a JSON string, even if the body is not JSON."""
        return b"" if ask.body is None else _fill(ask.body, ask, _escaped).encode()


def _fill(template: str, ask: Ask, escape: Callable[[str], str]) -> str:
    texts = {"prompt": ask.as_text, "model": ask.model}
    return _PLACEHOLDER.sub(lambda match: escape(texts[match[1]]), template)


def _percent(text: str) -> str:
    return quote(text, safe="")


def _escaped(text: str) -> str:
    return escaped(text).decode()
