"""The bytes of requests whose texts have variables: the steps of flows."""

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api, escaped
from llmstress.engine.control import TaskPlan
from llmstress.engine.flows.templates import Template
from llmstress.engine.http.request import LENGTH, head_of

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class TemplatedRequests:
    """Encodes the requests of one step. Values are escaped as their place needs it: percent-encoded in the URL, as the
    inside of a JSON string in the body, without control characters in headers, so that no value can add a header."""

    __slots__ = ("_api", "_body", "_headers", "_line", "_prompt", "_system", "names")

    def __init__(self, plan: TaskPlan, api: Api) -> None:
        line, _, headers = head_of(plan, api).decode("latin-1").partition("\r\n")
        self._api = api
        self._line = Template(line)
        self._headers = Template(headers)
        self._body = None if plan.ask.body is None else Template(plan.ask.body, body=True)
        self._prompt = Template(plan.ask.prompt)
        self._system = Template(plan.ask.system or "")
        templates = (self._line, self._headers, self._prompt, self._system)
        in_body = [] if self._body is None else [each for each in self._body.names if each not in ("prompt", "model")]
        self.names = {name for each in templates for name in each.names}.union(in_body)
        """Of the variables."""

    def build(self, ask: Ask, values: Mapping[str, str]) -> bytes:
        """Head and body of a request that asks `ask`, whose prompt is a made one or that of the plan."""
        if self._prompt.names and ask.prompt == self._api.ask.prompt:
            ask = msgspec.structs.replace(ask, prompt=self._prompt.fill(values))
        if self._system.names:
            ask = msgspec.structs.replace(ask, system=self._system.fill(values))
        if self._body is None:
            body = self._api.body(ask)
        else:
            texts = {**values, "prompt": ask.as_text, "model": ask.model}
            body = self._body.fill(texts, lambda text: escaped(text).decode()).encode()
        line = self._line.fill(values, lambda text: quote(text, safe=""))
        headers = self._headers.fill(values, _header_value)
        return f"{line}\r\n{headers.replace(LENGTH, str(len(body)))}".encode("latin-1") + body


def _header_value(text: str) -> str:
    return _CONTROL.sub(" ", text).encode().decode("latin-1")
