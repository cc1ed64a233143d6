"""Short loads with a worker's dialer and streams against a server, and the TLS certificates for them."""

import asyncio
import datetime
import gc
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import trustme
from helpers.live_load import plan_of, until

from llmstress.engine.connect.dialer import Dialer
from llmstress.engine.control import Network, Timeouts
from llmstress.engine.load.build import build_model
from llmstress.engine.schedule import windows
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.telemetry.messages import Part, Phase

NAME = "llm.test"


class Files(msgspec.Struct):
    """Paths of what an authority has made."""

    ca: str
    server: str
    """For 127.0.0.1, ::1, localhost and NAME, with its key."""
    expired: str
    client: str
    strangers_ca: str


def make_files(directory: Path) -> Files:
    """Have an authority make them."""
    authority = trustme.CA()
    yesterday = datetime.datetime.now() - datetime.timedelta(days=1)
    leaves = {
        "server": authority.issue_cert("127.0.0.1", "::1", "localhost", NAME),
        "expired": authority.issue_cert("127.0.0.1", not_after=yesterday),
        "client": authority.issue_cert("client@llm.test"),
    }
    paths = {name: str(directory / f"{name}.pem") for name in ("ca", "strangers_ca", *leaves)}
    authority.cert_pem.write_to_path(paths["ca"])
    trustme.CA().cert_pem.write_to_path(paths["strangers_ca"])
    for name, leaf in leaves.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(paths[name])
    return Files(**paths)


def server_tls(certificate: str, *, version: ssl.TLSVersion | None = None, client_ca: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Outcome:
    """What became of a load that ran to its end."""

    def __init__(self, part: Part, texts: list[str]) -> None:
        self.part = part
        self.ended = part.ended
        self.retried = part.retried
        self.connections = part.counters.connections
        self.timed_connects = part.latency["connect"].count if "connect" in part.latency else 0
        self.texts = texts
        """The words of the samples."""


async def load(url: str, network: Network | None = None, **changes: Any) -> Outcome:
    """What becomes of a worker's dialer and streams against `url`; see `_run`. Nothing is left behind."""
    nobody_caught: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: nobody_caught.append(context))
    outcome = await _run(url, network or Network(), **changes)
    gc.collect(1)  # a connection that nobody closed says so
    await asyncio.sleep(0)
    assert not nobody_caught
    return outcome


def all_closed() -> bool:
    """Whether uvloop has closed every connection: with TLS it first waits for the peer, and a loop that is closed
    meanwhile ends with EBUSY."""
    return not any(type(each).__name__ == "TCPTransport" and "closed=False" in repr(each) for each in gc.get_objects())


async def _run(
    url: str,
    network: Network,
    *,
    path: str = "/v1/chat/completions",
    streams: int = 2,
    requests: int | None = 6,
    cut_when: Callable[[], object] | None = None,
    make_dialer: Callable[..., Dialer] = Dialer,
    **changes: Any,
) -> Outcome:
    """Until the requests are used up, or `cut_when` says so."""
    given = {"error_pause_s": 0, "timeouts": Timeouts(30, 0, 0, 0), "network": network, "requests": requests}
    plan = plan_of(f"{url}{path}", streams, **{**given, **changes})
    recorder = Recorder(0)
    async with make_dialer(plan.tasks[0].url, network, plan.tasks[0].timeouts) as dialer:
        model = build_model(plan, recorder, lambda _: dialer)
        running = model.load
        recorder.begin(time.monotonic_ns(), windows(whole_run=True), running.in_flight)
        await model.start(time.monotonic_ns())

        def over() -> bool:
            running.check()
            return running.exhausted.is_set() or (cut_when is not None and bool(cut_when()))

        await until(over)
        if running.fault is not None:
            raise running.fault
        running.cut()
        await asyncio.gather(*running.dialing.tasks, return_exceptions=True)
    delta = recorder.cut(time.monotonic_ns(), 0)
    part = delta.parts[Phase.STEADY]
    assert recorder.open == 0
    assert part.counters.started == sum(part.ended.values())
    return Outcome(part, [sample.text for sample in delta.samples])
