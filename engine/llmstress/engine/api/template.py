"""Endpoints of no known API: the user says what URL, method and body are, `{prompt}` and `{model}` stand in for the
words."""

import re
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Endpoint

_PLACE = re.compile(r"\{(prompt|model)\}")
_STRANGE_PLACE = re.compile(r"\{(?!prompt\}|model\})[A-Za-z_]+\}")
_METHOD = re.compile(r"(?!CONNECT$)[A-Z]{1,20}")


class Template(Api):
    """What such endpoints have in common: the URL is taken as it is, nobody is asked for models."""

    TAKES = frozenset({"method", "body", "auth"})
    NEEDS_MODEL = False

    def __init__(self, ask: Ask) -> None:
        """Raises ValueError: what was asked for can't be sent."""
        super().__init__(ask)
        if ask.method and not _METHOD.fullmatch(ask.method):
            raise ValueError(f"--method {ask.method} is not supported")
        if ask.extra:
            raise ValueError("--extra-body needs a JSON body to be merged into; put everything into --body")

    @property
    def method(self) -> str:
        """See `Api`."""
        return self.ask.method or ("GET" if self.ask.body is None else "POST")

    def endpoint(self, path: str, query: str) -> Endpoint:
        """See `Api`. The words are percent-encoded."""
        strange = _STRANGE_PLACE.search(f"{path}?{query} {self.ask.body or ''}")
        note = f"{strange[0]} is sent as it is: only {{prompt}} and {{model}} are filled in" if strange else ""
        return Endpoint(self._fill(path or "/", _percent), self._fill(query, _percent), note=note)

    def body(self) -> bytes:
        """See `Api`. The words are escaped as the inside of a JSON string, whatever the body is."""
        return b"" if self.ask.body is None else self._fill(self.ask.body, _escaped).encode()

    def _fill(self, template: str, written: Callable[[str], str]) -> str:
        words = {"prompt": self.ask.prompt, "model": self.ask.model}
        return _PLACE.sub(lambda place: written(words[place[1]]), template)


def _percent(text: str) -> str:
    return quote(text, safe="")


def _escaped(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()
