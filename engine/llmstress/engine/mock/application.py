"""An application around the model, for flows: a login that gives tokens, and a search that needs one."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

import msgspec

from llmstress.engine.mock.dialects.answer_spec import words
from llmstress.engine.mock.http import Headers, Request
from llmstress.engine.mock.truth import TruthRecorder

Action = Literal["login", "search"]

_DOCUMENTS = 3
_LONGEST = 200
"""Maximum number of characters of a user's name, and of a query in the text of a document."""
_CHALLENGE = (("WWW-Authenticate", "Bearer"),)


class Refused(Exception):
    """The request is rejected."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def headers(self) -> Headers:
        """Additional headers of the response."""
        return _CHALLENGE if self.status is HTTPStatus.UNAUTHORIZED else ()


class Session(NamedTuple):
    """What a token says."""

    user: str
    expires_us: int


class Tokens:
    """Tokens that contain user and expiry, signed with a key that all processes share, so none has to be stored."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, session: Session) -> str:
        """The token of a session."""
        user = base64.urlsafe_b64encode(session.user.encode()).decode().rstrip("=")
        content = f"{user}.{session.expires_us}"
        return f"{content}.{self._signature(content)}"

    def valid(self, token: str, now_us: int) -> bool:
        """Whether `token` is signed by this mock and not expired."""
        content, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            return False
        return now_us < int(content.rpartition(".")[2])

    def _signature(self, content: str) -> str:
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()[:32]


class _Login(msgspec.Struct):
    user: str | None = None
    password: Any = None


class _Search(msgspec.Struct):
    q: str


_login = msgspec.json.Decoder(_Login)
_search = msgspec.json.Decoder(_Search)


class Application:
    """Logins and searches. Every password is right; tokens expire after `ttl_us` µs."""

    def __init__(self, key: bytes, ttl_us: int, record: TruthRecorder, clock_us: Callable[[], int]) -> None:
        self._tokens = Tokens(key)
        self._ttl_us = ttl_us
        self._record = record
        self._clock_us = clock_us

    def respond(self, action: Action, request: Request) -> bytes:
        """The body of the response.

        Raises:
            Refused: there is no user, the token is not valid, or the body is not as expected.
        """
        try:
            if action == "login":
                body, count = self._log_in(request), "logins"
            else:
                body, count = self._find(request), "searches"
        except Refused as refused:
            unauthorized = refused.status is HTTPStatus.UNAUTHORIZED
            self._record.application(f"{action}_{'unauthorized' if unauthorized else 'invalid'}")
            raise
        self._record.application(count)
        return body

    def admits(self, request: Request) -> bool:
        """Whether a request has a valid token as its key, in the header of any API."""
        headers = dict(request.headers)
        token = _bearer(request) or headers.get("x-api-key") or headers.get("api-key") or ""
        return self._tokens.valid(token, self._clock_us())

    def _log_in(self, request: Request) -> bytes:
        user = _decoded(_login, request).user
        if not user:
            raise Refused(HTTPStatus.UNAUTHORIZED, "there is no user")
        if len(user) > _LONGEST:
            raise Refused(HTTPStatus.BAD_REQUEST, f"the user has more than {_LONGEST} characters")
        token = self._tokens.sign(Session(user, self._clock_us() + self._ttl_us))
        seconds = self._ttl_us / 1e6
        return msgspec.json.encode({"token": token, "expires_in": int(seconds) if seconds.is_integer() else seconds})

    def _find(self, request: Request) -> bytes:
        if not self._tokens.valid(_bearer(request), self._clock_us()):
            raise Refused(HTTPStatus.UNAUTHORIZED, "the token is unknown or expired")
        query = _decoded(_search, request).q
        digest = hashlib.sha256(query.encode()).hexdigest()
        documents = [
            {"id": f"doc-{digest[:8]}-{i}", "text": f"Document {i} about {query[:_LONGEST]}:{words(10 * i, 10)}"}
            for i in range(_DOCUMENTS)
        ]
        return msgspec.json.encode({"documents": documents})


def _bearer(request: Request) -> str:
    """The token of the header Authorization; empty: there is none."""
    scheme, _, token = dict(request.headers).get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _decoded(decoder: "msgspec.json.Decoder[Any]", request: Request) -> Any:
    try:
        return decoder.decode(request.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"invalid request: {error}") from error
