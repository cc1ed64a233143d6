"""The base class of users."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from llmstress.engine.scenario.asking import Asking
from llmstress.engine.scenario.port import Port, Wish
from llmstress.engine.scenario.talk import Conversation, Message
from llmstress.engine.scenario.waits import NO_WAIT, Wait


class StopUser(Exception):
    """The user does no more tasks."""


class User:
    """One user of the target. Subclass it, and mark its tasks with `@task`.

    In the closed model each stream is a user, who does one task after the other. In the open model each arrival is a
    task, which a user does who is free. `on_start` runs before the first task of a user.
    """

    weight: ClassVar[int] = 1
    """Its share of the users is this, divided by the sum of the weights of all classes."""
    wait_time: ClassVar[Wait] = NO_WAIT
    """The wait after each task: `between`, `constant`, `exponential` or `pacing`. The open model doesn't wait."""

    def __init__(self, port: Port) -> None:
        """Is called by the load. Set up your own attributes in `on_start`."""
        self._port = port
        self.headers: dict[str, str] = {}
        """Are sent with each request of this user, in place of those of the run that have the same names."""
        self.http = Http(self)
        """Requests of any other kind."""

    async def on_start(self) -> None:
        """Before the first task: log in, and the like."""

    async def on_stop(self) -> None:
        """After the last task."""

    # --- who it is

    @property
    def number(self) -> int:
        """Its number in the run, from 1 on."""
        return self._port.number

    @property
    def random(self) -> random.Random:
        """Random numbers of its own, which follow from `--seed` and its number."""
        return self._port.random

    def secret(self, name: str) -> str:
        """The value of an environment variable, such as a password. No output of llmstress shows it.

        Raises:
            LookupError: it is not set.
        """
        return self._port.secret(name)

    def stop(self) -> None:
        """Do no more tasks: the user leaves.

        Raises:
            StopUser: always; it ends the task.
        """
        raise StopUser

    # --- what it asks

    def chat(
        self,
        prompt: str | Sequence[Message],
        *,
        name: str = "chat",
        system: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Asking:
        """Ask for a chat completion (OpenAI), or what the API of the run is, if it is another chat API.

        Args:
            prompt: what the user says, or a list of messages.
            name: of the statistics.
            system: the system message; None: that of the run.
            model: None: that of the run.
            max_tokens: limit of output tokens; None: that of the run.
            stream: ask for a stream.
            headers: for this request alone.
            extra: further members of the JSON body, such as `temperature` or `tools`.
        """
        return self._ask("chat", name, prompt, system, model, max_tokens, stream, headers, extra)

    def messages(
        self,
        prompt: str | Sequence[Message],
        *,
        name: str = "messages",
        system: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Asking:
        """Ask for a message (Anthropic). Arguments as for `chat`."""
        return self._ask("messages", name, prompt, system, model, max_tokens, stream, headers, extra)

    def responses(
        self,
        prompt: str | Sequence[Message],
        *,
        name: str = "responses",
        system: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Asking:
        """Ask for a response (OpenAI Responses). Arguments as for `chat`."""
        return self._ask("responses", name, prompt, system, model, max_tokens, stream, headers, extra)

    def completions(
        self,
        prompt: str,
        *,
        name: str = "completions",
        model: str | None = None,
        max_tokens: int | None = None,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Asking:
        """Ask for a completion (OpenAI Completions). Arguments as for `chat`."""
        return self._ask("completions", name, prompt, None, model, max_tokens, stream, headers, extra)

    def embeddings(
        self,
        text: str,
        *,
        name: str = "embeddings",
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Asking:
        """Ask for the embedding of a text (OpenAI Embeddings)."""
        return self._ask("embeddings", name, text, None, model, None, False, headers, extra)

    def sse(
        self,
        path: str = "",
        *,
        method: str = "POST",
        json: Any = None,
        name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Asking:
        """Ask for server-sent events of any kind.

        Args:
            path: on the host of the run; empty: the path of `--url`.
            method: of HTTP.
            json: the body; None: there is none.
            name: of the statistics; empty: method and path.
            headers: for this request alone.
        """
        return self.http.ask("sse", method, path, json=json, name=name, headers=headers)

    def conversation(self, *, system: str | None = None, **options: Any) -> Conversation:
        """A conversation, whose history is kept: `async with self.conversation(system="...") as talk`.

        options: as for `chat`, for each of its requests.
        """
        return Conversation(self.chat, system, options)

    def _ask(
        self,
        kind: str,
        name: str,
        prompt: str | Sequence[Message],
        system: str | None,
        model: str | None,
        max_tokens: int | None,
        stream: bool,
        headers: Mapping[str, str] | None,
        extra: dict[str, Any],
    ) -> Asking:
        ask: dict[str, Any] = {"stream": stream}
        if isinstance(prompt, str):
            ask["prompt"] = prompt
        else:
            ask["messages"] = tuple(prompt)
        given = {"system": system, "model": model, "max_tokens": max_tokens}
        ask.update({field: value for field, value in given.items() if value is not None})
        if extra:
            ask["extra"] = extra
        return Asking(self._port, Wish(kind, name, ask, self._all_headers(headers)))

    def _all_headers(self, headers: Mapping[str, str] | None) -> Mapping[str, str]:
        return {**self.headers, **headers} if headers else dict(self.headers)


class Http:
    """Plain HTTP requests of a user. An answer with status 2xx is ok."""

    __slots__ = ("_user",)

    def __init__(self, user: User) -> None:
        self._user = user

    def get(self, path: str, *, name: str = "", headers: Mapping[str, str] | None = None) -> Asking:
        """GET. Arguments as for `request`."""
        return self.request("GET", path, name=name, headers=headers)

    def post(
        self,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Asking:
        """POST. Arguments as for `request`."""
        return self.request("POST", path, json=json, data=data, name=name, headers=headers)

    def put(
        self,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Asking:
        """PUT. Arguments as for `request`."""
        return self.request("PUT", path, json=json, data=data, name=name, headers=headers)

    def delete(self, path: str, *, name: str = "", headers: Mapping[str, str] | None = None) -> Asking:
        """DELETE. Arguments as for `request`."""
        return self.request("DELETE", path, name=name, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Asking:
        """Any request.

        Args:
            method: of HTTP.
            path: path and query on the host of the run, such as `/api/search?q=1`.
            json: the body, encoded as JSON; None: `data` is the body.
            data: the body; None: there is none.
            name: of the statistics; empty: method and path.
            headers: for this request alone.
        """
        return self.ask("http", method, path, json=json, data=data, name=name, headers=headers)

    def ask(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Asking:
        """A request of one of the two kinds without an API of their own, `http` and `sse`."""
        user = self._user
        body = msgspec.json.encode(json) if json is not None else data.encode() if isinstance(data, str) else data
        wish = Wish(
            kind,
            name or f"{method} {path.partition('?')[0] or '/'}",
            {"method": method.upper(), "stream": kind == "sse"},
            user._all_headers(headers),
            path,
            body or b"",
        )
        return Asking(user._port, wish)
