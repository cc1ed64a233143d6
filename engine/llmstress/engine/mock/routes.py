"""Which API is meant by a request's method and path."""

from typing import NamedTuple

from llmstress.engine.mock.http import Headers, Request
from llmstress.engine.mock.speech import openai_chat
from llmstress.engine.mock.speech.dialect import Dialect
from llmstress.engine.mock.speech.openai import encode


class Refusal(NamedTuple):
    """Why a request means no API."""

    status: int
    message: str
    headers: Headers = ()


class Route(NamedTuple):
    """What a request means."""

    dialect: Dialect
    """The API; for what isn't served the one in which to say so."""
    refusal: Refusal | None = None
    lists_models: bool = False
    """Whether it asks for the list of models, and not for an answer."""


def find(request: Request) -> Route:
    """Look only at method and path; both with and without `/v1`."""
    path = request.path.removeprefix("/v1")
    method = {"/chat/completions": "POST", "/models": "GET"}.get(path)
    if method is None:
        return Route(openai_chat, Refusal(404, f"unknown path: {request.path}"))
    if method != request.method:
        return Route(openai_chat, Refusal(405, f"use {method} here", (("Allow", method),)))
    return Route(openai_chat, lists_models=path == "/models")


def models_body(model: str) -> bytes:
    """The list of models: the one there is."""
    entry = {"id": model, "object": "model", "created": 0, "owned_by": "llmstress"}
    return encode({"object": "list", "data": [entry]})
