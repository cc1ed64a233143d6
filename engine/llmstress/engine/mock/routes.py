"""Maps a request's method and path to an API, and lists the models."""

import re
from collections.abc import Callable
from typing import NamedTuple

from llmstress.engine.mock.application import Action
from llmstress.engine.mock.dialects import (
    anthropic,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from llmstress.engine.mock.dialects.azure import Azure
from llmstress.engine.mock.dialects.dialect import Dialect
from llmstress.engine.mock.dialects.plain import Plain
from llmstress.engine.mock.dialects.sse import to_json
from llmstress.engine.mock.http import Headers, Request


class Refusal(NamedTuple):
    """Status, message and headers of a rejected request."""

    status: int
    message: str
    headers: Headers = ()


class Route(NamedTuple):
    """The API of a request, and whether it is answered at once."""

    dialect: Dialect
    """The API; for a rejected request, the API whose error format is used."""
    refusal: Refusal | None = None
    immediate: Callable[[Request, str], bytes] | None = None
    """Returns the body of an immediate response, given the request and the model; None: the request gets an answer.

    Raises:
        ValueError: the request is invalid.
        LookupError: the requested object does not exist.
    """
    action: Action | None = None
    """What the application does with the request; None: it is not for the application."""


_OPENAI: dict[str, Dialect] = {
    "/chat/completions": openai_chat,
    "/completions": openai_completions,
    "/responses": openai_responses,
    "/embeddings": openai_embeddings,
}
_AZURE: dict[str, Dialect] = {
    "/chat/completions": Azure(openai_chat, openai_chat.ChatEncoder),
    "/completions": Azure(openai_completions, openai_completions.CompletionsEncoder),
    "/responses": Azure(openai_responses),
    "/embeddings": Azure(openai_embeddings),
}
_COUNTS: dict[str, tuple[Dialect, Callable[[Request], bytes]]] = {
    "/messages/count_tokens": (anthropic, anthropic.count),
    "/responses/input_tokens": (openai_responses, openai_responses.count),
}
_AZURE_ERRORS = Azure(openai_chat)
_AZURE_PATH = re.compile(r"/openai(?P<kind>/v1|/deployments/[^/]+|)(?P<rest>/.*)")
_PLAIN: dict[str, Dialect] = {"/stream": Plain("sse"), "/text": Plain("text"), "/json": Plain("json")}
_ACTIONS: dict[str, Action] = {"/login": "login", "/search": "search"}
_PLAIN_METHODS = {
    "/stream": ("GET", "POST"),
    "/text": ("POST",),
    "/json": ("GET", "POST", "PUT", "PATCH", "DELETE"),
}


def find_route(request: Request) -> Route:
    """The route of a request, from its method, path, query and headers."""
    path = request.path
    if path.startswith("/openai/"):
        return _find_azure(request)
    path = path.removeprefix("/v1")
    if path == "/models" or path.startswith("/models/"):
        asks_anthropic = any(name == "anthropic-version" for name, _ in request.headers)
        return _only(request, ("GET",), Route(anthropic if asks_anthropic else openai_chat, immediate=_models))
    if path == "/health":
        return _only(request, ("GET",), Route(openai_chat, immediate=lambda request, model: to_json({"status": "ok"})))
    if path in _COUNTS:
        dialect, count = _COUNTS[path]
        return _only(request, ("POST",), Route(dialect, immediate=lambda request, model: count(request)))
    if path in _OPENAI:
        return _only(request, ("POST",), Route(_OPENAI[path]))
    if path == "/messages":
        return _only(request, ("POST",), Route(anthropic))
    if path in _PLAIN:
        return _only(request, _PLAIN_METHODS[path], Route(_PLAIN[path]))
    if path in _ACTIONS:
        return _only(request, ("POST",), Route(Plain("json"), action=_ACTIONS[path]))
    return _unknown(request, anthropic if path.startswith("/messages/") else openai_chat)


def _find_azure(request: Request) -> Route:
    match = _AZURE_PATH.fullmatch(request.path)
    if match is None:
        return _unknown(request, _AZURE_ERRORS)
    kind, rest = match["kind"], match["rest"]
    # a path with a deployment has neither /responses nor /models; without one and without /v1 only these two exist
    if (rest == "/models" or rest.startswith("/models/")) and not kind.startswith("/deployments"):
        route, method = Route(_AZURE_ERRORS, immediate=_models), "GET"
    elif rest in _AZURE and (kind == "/v1" or (rest == "/responses") != kind.startswith("/deployments")):
        route, method = Route(_AZURE[rest]), "POST"
    else:
        return _unknown(request, _AZURE_ERRORS)
    if kind != "/v1" and "api-version=" not in request.query:
        return Route(_AZURE_ERRORS, Refusal(404, "Resource not found: the query names no api-version"))
    return _only(request, (method,), route)


def _only(request: Request, methods: tuple[str, ...], route: Route) -> Route:
    if request.method in methods:
        return route
    allowed = ", ".join(methods)
    return Route(route.dialect, Refusal(405, f"method not allowed: use {allowed} here", (("Allow", allowed),)))


def _unknown(request: Request, dialect: Dialect) -> Route:
    return Route(dialect, Refusal(404, f"unknown path: {request.path}"))


def _models(request: Request, model: str) -> bytes:
    """The list of models, or the model that the path names. The body has the members of both OpenAI and Anthropic.

    Raises:
        LookupError: the path names a model other than `model`.
    """
    entry = {
        "id": model,
        "object": "model",
        "created": 0,
        "owned_by": "llmstress",
        "type": "model",
        "display_name": model,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }
    named = request.path.partition("/models")[2].removeprefix("/")
    if named and named != model:
        raise LookupError(f"the model {named!r} does not exist")
    page = {"has_more": False, "first_id": model, "last_id": model}
    return to_json(entry if named else {"object": "list", "data": [entry], **page})
