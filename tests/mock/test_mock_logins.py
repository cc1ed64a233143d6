"""The application around the mock's model: logins, searches, and answers only for those who logged in."""

import json
from typing import Any

import pytest
from helpers.processes import mock_server
from helpers.wire_client import CHAT, MESSAGES, SAY, Client, Heard

FAST = ("--ttft-ms", "1", "--gap-ms", "0", "--tokens", "2")


def log_in(client: Client, user: str = "ada") -> Heard:
    return client.post("/login", json.dumps({"user": user, "password": "x"}).encode())


def search(client: Client, token: str, query: str = "tides") -> Heard:
    return client.post("/search", json.dumps({"q": query}).encode(), Authorization=f"Bearer {token}")


def asked(client: Client, path: str = CHAT, **headers: str) -> Heard:
    body = {"model": "m", "max_tokens": 9, "messages": SAY}
    return client.post(path, json.dumps(body).encode(), **headers)


def test_a_token_of_one_process_is_valid_in_all() -> None:
    with mock_server(*FAST, "--procs", "3") as server:
        clients = [Client(server.url) for _ in range(9)]
        sessions = [log_in(client).json for client in clients]
        answers = [search(client, session["token"]) for client in clients for session in sessions]
        for client in clients:
            client.socket.close()
        truth = server.stop()
    assert {session["expires_in"] for session in sessions} == {3_600}
    assert {each.status for each in answers} == {200}
    assert len({each.body for each in answers}) == 1, "the same query finds the same documents"
    assert truth["application"] == {"logins": 9, "searches": 81}
    assert truth["statuses"] == {"200": 90}
    assert truth["requests"] == 0, "none of them is a request for an answer"


def test_what_a_search_finds() -> None:
    with mock_server(*FAST) as server, Client(server.url) as client:
        token = log_in(client).json["token"]
        found = [search(client, token, query).json["documents"] for query in ("tides", "moons")]
    ids = [document["id"] for documents in found for document in documents]
    assert len(ids) == len(set(ids)) == 6
    assert all("about tides: tok" in document["text"] for document in found[0])


@pytest.mark.parametrize(
    ("path", "body", "status", "count"),
    [
        ("/login", b"{}", 401, "login_unauthorized"),
        ("/login", b'{"user": "", "password": "x"}', 401, "login_unauthorized"),
        ("/login", b'{"user": 5}', 400, "login_invalid"),
        ("/login", b"user=ada", 400, "login_invalid"),
        ("/login", b'{"user": "\\ud800"}', 400, "login_invalid"),
        ("/login", b'{"user": "%b"}' % (b"x" * 201), 400, "login_invalid"),
        ("/search", b'{"q": "x"}', 401, "search_unauthorized"),
    ],
)
def test_wrong_requests_are_refused(path: str, body: bytes, status: int, count: str) -> None:
    with mock_server(*FAST) as server, Client(server.url) as client:
        refused = client.post(path, body)
        token = log_in(client).json["token"]
        nothing = client.post("/search", b"{}", Authorization=f"Bearer {token}")
        truth = server.stop()
    assert refused.status == status
    assert refused.json["detail"]
    assert refused.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert nothing.status == 400
    assert truth["application"] == {count: 1, "logins": 1, "search_invalid": 1}


def test_changed_and_foreign_tokens_are_not_valid() -> None:
    with mock_server(*FAST) as server, mock_server(*FAST) as other, Client(server.url) as client:
        token: str = log_in(client).json["token"]
        user, expires, signature = token.split(".")
        with Client(other.url) as stranger:
            foreign = log_in(stranger).json["token"]
        later = f"{user}.{int(expires) + 1}.{signature}"
        wrong = [later, foreign, token[:-1], "", ".", "..", "\xe9", f"{user}.x.{signature}"]
        statuses = [search(client, each).status for each in (token, *wrong)]
    assert statuses == [200] + [401] * len(wrong)


def test_tokens_expire() -> None:
    with mock_server(*FAST, "--login-ttl-ms", "1") as server, Client(server.url) as client:
        first = log_in(client)
        # the server's clock goes on with each request
        while search(client, first.json["token"]).status == 200:
            pass
        truth = server.stop()
    assert first.json["expires_in"] == 0.001
    assert truth["application"]["search_unauthorized"] == 1


def test_answers_only_after_a_login() -> None:
    with mock_server(*FAST, "--login-required") as server, Client(server.url) as client:
        token = log_in(client).json["token"]
        keys: list[tuple[str, dict[str, str]]] = [
            (CHAT, {}),
            (CHAT, {"Authorization": "Bearer sk-1"}),
            (MESSAGES, {"x-api-key": "sk-1"}),
            (CHAT, {"Authorization": f"bearer {token}"}),
            (MESSAGES, {"x-api-key": token}),
            (CHAT, {"api-key": token}),
        ]
        answers = [asked(client, path, **headers) for path, headers in keys]
        truth = server.stop()
    assert [each.status for each in answers] == [401] * 3 + [200] * 3
    errors: list[Any] = [each.json["error"] for each in answers[:3]]
    assert errors[0]["code"] == "invalid_api_key"
    assert errors[2]["type"] == "authentication_error"
    assert (truth["requests"], truth["unauthorized"], truth["done"]) == (6, 3, 3)
    assert truth["apis"]["openai-chat"]["unauthorized"] == 2
