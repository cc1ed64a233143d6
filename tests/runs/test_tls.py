"""TLS: certificates on either side, and handshakes that fail, hang or are cut off.

The worker's own pieces run in this process against a server that plays its part; runs of the command over TLS are in
`test_connections`.
"""

import ssl

import pytest
from helpers.bench import FINISH
from helpers.live_load import ANSWER, live, until
from helpers.proxies import Flooding, Target, listening, saying, strict_tls
from helpers.short_runs import NAME, Files, all_closed, load, make_files, server_tls

from llmstress.engine.control import Network, Timeouts, Tls

BOTH_TLS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("tls"))


@BOTH_TLS
@live
async def test_a_server_whose_authority_is_trusted(files: Files, version: ssl.TLSVersion) -> None:
    target = Target()
    async with listening(target, tls=server_tls(files.server, version=version)) as port:
        done = await load(f"https://127.0.0.1:{port}", Network(tls=Tls(ca_file=files.ca)))
    assert done.ended == {"ok": 6}
    assert (target.accepted, done.connections, done.timed_connects) == (2, 2, 2), "a stream keeps its connection"


@pytest.mark.parametrize(
    ("certificate", "ca", "host", "words"),
    [
        ("server", "strangers_ca", "127.0.0.1", "unable to get local issuer certificate (use --cacert"),
        ("server", "", "127.0.0.1", "unable to get local issuer certificate (use --cacert"),
        ("expired", "ca", "127.0.0.1", "certificate has expired"),
        ("server", "ca", "other.test", "certificate is not valid for 'other.test'"),
        ("server", "ca", "127.0.0.2", "certificate is not valid for '127.0.0.2'"),
    ],
    ids=["unknown-authority", "not-this-machines", "expired", "wrong-name", "wrong-address"],
)
@live
async def test_a_certificate_that_is_not_accepted(
    files: Files, certificate: str, ca: str, host: str, words: str
) -> None:
    target = Target()
    addresses = ["127.0.0.1"] if host.endswith(".test") else []
    tls = Tls(ca_file=getattr(files, ca) if ca else "")
    async with listening(target, "127.0.0.1", "127.0.0.2", tls=server_tls(getattr(files, certificate))) as port:
        refused = await load(f"https://{host}:{port}", Network(addresses, tls=tls))
        taken = await load(f"https://{host}:{port}", Network(addresses, tls=Tls(insecure=True)))
    assert refused.ended == {"tls": 6}
    assert refused.connections == 0
    assert all(text.startswith("certificate not accepted: ") and words in text for text in refused.texts)
    assert taken.ended == {"ok": 6}


@BOTH_TLS
@live
async def test_a_server_that_wants_certificates_of_its_clients(files: Files, version: ssl.TLSVersion) -> None:
    with strict_tls(server_tls(files.server, version=version, client_ca=files.ca)) as port:
        url = f"https://127.0.0.1:{port}"
        without = await load(url, Network(tls=Tls(ca_file=files.ca)))
        shown = await load(url, Network(tls=Tls(ca_file=files.ca, cert_file=files.client)))
        await until(all_closed)
    assert without.ended == {"tls": 6}
    assert all("--cert" in text for text in without.texts)
    assert shown.ended == {"ok": 6}


@live
async def test_a_client_certificate_that_the_server_does_not_trust(files: Files) -> None:
    with strict_tls(server_tls(files.server, client_ca=files.strangers_ca)) as port:
        refused = await load(
            f"https://127.0.0.1:{port}",
            Network(tls=Tls(ca_file=files.ca, cert_file=files.client, key_file=files.client)),
        )
    assert refused.ended == {"tls": 6}
    assert all("authority of the client certificate" in text for text in refused.texts)


@live
async def test_the_server_hears_the_name_of_the_url(files: Files) -> None:
    heard: list[str | None] = []
    context = server_tls(files.server)

    def choose(_: object, name: str | None, __: object) -> int | None:
        heard.append(name)
        return None if name == NAME else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = choose
    with strict_tls(context) as port:
        network = Network(["127.0.0.1"], tls=Tls(ca_file=files.ca))
        known = await load(f"https://{NAME}:{port}", network)
        unknown = await load(f"https://other.test:{port}", network)
    assert known.ended == {"ok": 6}
    assert unknown.ended == {"tls": 6}
    assert all("no certificate for this host name" in text for text in unknown.texts)
    assert set(heard) == {NAME, "other.test"}


@pytest.mark.parametrize(
    ("what", "reset", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "http:// instead of https://"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, "http:// instead of https://"),
        (b"", False, "closed during the TLS handshake"),
        (b"", True, "closed during the TLS handshake"),
    ],
    ids=["http", "ssh", "closed", "reset"],
)
@live
async def test_a_server_that_does_not_finish_the_handshake(what: bytes, reset: bool, words: str) -> None:
    async with saying(what, reset=reset) as port:
        refused = await load(f"https://127.0.0.1:{port}")
    assert refused.ended == {"tls": 6}
    assert all(words in text for text in refused.texts)


@live
async def test_a_handshake_that_takes_too_long() -> None:
    async with saying(hold=True) as port:
        refused = await load(f"https://127.0.0.1:{port}", timeouts=Timeouts(0.05, 0, 0, 0))
    assert refused.ended == {"connect_timeout": 6}
    assert "--timeout-connect" in refused.texts[0]


@live
async def test_handshakes_under_way_are_cut_off(files: Files) -> None:
    async with saying(hold=True) as port:
        started = iter((False, False, True))
        done = await load(f"https://127.0.0.1:{port}", cut_when=lambda: next(started))
    assert done.ended == {"cancelled": 2}


@BOTH_TLS
@live
async def test_streams_in_flight_are_cut_off_and_closed_at_once(files: Files, version: ssl.TLSVersion) -> None:
    # a polite goodbye would wait for a server that goes on sending; `listening` waits until all connections are closed
    target = Flooding()
    async with listening(target, tls=server_tls(files.server, version=version)) as port:
        done = await load(
            f"https://127.0.0.1:{port}",
            Network(tls=Tls(ca_file=files.ca)),
            streams=20,
            requests=None,
            cut_when=lambda: len(target.heads) == 20,
        )
    assert done.ended == {"cancelled": 20}


@pytest.mark.parametrize(
    ("answer", "ended"),
    [(ANSWER, "ok"), (ANSWER.partition(FINISH)[0], "truncated"), (ANSWER[:20], "reset")],
    ids=["behind-the-answer", "within-the-answer", "within-the-head"],
)
@BOTH_TLS
@live
async def test_a_server_that_leaves_tls_without_a_goodbye(
    files: Files, version: ssl.TLSVersion, answer: bytes, ended: str
) -> None:
    with strict_tls(server_tls(files.server, version=version), answer, drops=True) as port:
        done = await load(f"https://127.0.0.1:{port}", Network(tls=Tls(ca_file=files.ca)))
    assert done.ended == {ended: 6}
