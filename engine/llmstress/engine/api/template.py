"""Endpoints of no known API: the user says what URL, method and body are, `{prompt}` and `{model}` stand in for the
words."""

import re
from collections.abc import Callable
from urllib.parse import quote

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, Endpoint, escaped

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
        return Endpoint(_fill(path or "/", self.ask, _percent), _fill(query, self.ask, _percent), note=note)

    def encode(self, ask: Ask) -> bytes:
        """The user's body. Prompt and model are escaped as the inside of a JSON string, whatever the body is."""
        return b"" if ask.body is None else _fill(ask.body, ask, _escaped).encode()


def _fill(template: str, ask: Ask, written: Callable[[str], str]) -> str:
    words = {"prompt": ask.prompt, "model": ask.model}
    return _PLACE.sub(lambda place: written(words[place[1]]), template)


def _percent(text: str) -> str:
    return quote(text, safe="")


def _escaped(text: str) -> str:
    return escaped(text).decode()
