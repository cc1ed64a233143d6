"""Strangers on a run's sockets, of this user and of another: they change nothing, learn nothing, and end nothing."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from helpers.processes import DEADLINE_S, Run, llmstress, mock_server, workers_of

from llmstress.coordinator.processes import run_directory
from llmstress.coordinator.processes.broadcaster import ASK, MAX_COMMAND, WATCH
from llmstress.engine.control import Final, Hello, Ready
from llmstress.engine.telemetry.broadcast import Paused, encode
from llmstress.engine.telemetry.messages import PROTOCOL_VERSION, Counters, Delta, Part, Phase
from llmstress.engine.uplink import MAX_MESSAGE

pytestmark = pytest.mark.slow

HUB = "hub"

NO_UTF8 = b"\x92\xa4\xc3\x28\xff\xff\x00"
"""A message whose name is no text."""


@pytest.fixture(autouse=True)
def _open_home(home: Path) -> None:
    """Anybody may look into the place of the runs."""
    home.chmod(0o755)


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[tuple[Run, Path]]:
    """A run that has begun, and its directory."""
    run = Run(*arguments)
    try:
        run.wait_for("s steady")  # the first second's line
        [directory] = run_directory.running()
        yield run, directory
    finally:
        run.end()


def forged(worker: int) -> list[bytes]:
    """Everything that a worker can say, and things that none would."""
    part = Part(counters=Counters(started=10**9, events=10**9, output=10**9), ended={"ok": 10**9})
    delta = Delta(worker, 0, 0, 10**9, Phase.STEADY, 10**6, 10**6, 0, 10**12, {2: part, 77: part}, [])
    pack = msgspec.msgpack.encode
    whole = [Hello(worker, 1, PROTOCOL_VERSION), Hello(worker, 1, 99), Ready(worker, 0.0, 0), delta]
    final = Final(worker, 10**6, 0, 0, True)
    return [
        *(pack(message) for message in (*whole, final)),
        *(pack([type(message).__name__, "x", "y"]) for message in whole),
        *(
            b"",
            b"\xc1",
            b"\x91" * 5000,
            b"\xff" * 100,
            pack({"worker": worker}),
            pack(["Delta"]),
            pack(["Nonsense", 1]),
        ),
    ]


UNREAD = 1000
"""Messages that a ZeroMQ socket takes in before it is read, if it isn't told otherwise."""


@contextlib.contextmanager
def socket_of(
    context: "zmq.Context[zmq.Socket[bytes]]", kind: int, path: Path, identity: bytes = b""
) -> Iterator["zmq.Socket[bytes]"]:
    with context.socket(kind) as opened:
        opened.linger = 0  # `say` waits until all has arrived
        opened.sndtimeo = DEADLINE_S * 1000
        if identity:
            opened.identity = identity
        opened.connect(f"ipc://{path}")
        yield opened


def say(to: "zmq.Socket[bytes]", messages: Iterable[list[bytes]], limit: int) -> None:
    """Send `messages` and see that all of them arrive. The last one is over the `limit`, for which the other end hangs
    up: it has taken in what came before it."""
    with to.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
        for frames in messages:
            to.send_multipart(frames)
        to.send(b"\x91" * (limit + 1))
        assert monitor.poll(DEADLINE_S * 1000), "it never hung up"
        to.disable_monitor()


def say_what_strangers_say(directory: Path, workers: int) -> None:
    """On every socket, as everybody that a stranger could pretend to be."""
    names = [*range(-1, workers + 2), 2**62]
    taken = [b"worker-%d" % number for number in range(workers)]
    words = [frames for number in names for data in forged(number) for frames in ([data], [b"worker-0", data])]
    # when the last one of so many more is taken in, those before them have been read
    read = [[b""]] * (UNREAD + 1)
    with zmq.Context() as context:
        for identity in (b"", b"stranger", b"\xff" * 200, *(b"worker-%d" % number for number in names)):
            with socket_of(context, zmq.DEALER, directory / HUB, identity) as dealer:
                # a second one of the same name is not listened to, and hears nothing
                say(dealer, words if identity in taken else words + read, MAX_MESSAGE)
        with socket_of(context, zmq.PUSH, directory / ASK) as push:
            none = [
                b"",
                NO_UTF8,
                b"\xff" * 100,
                encode(Paused(True)),
                msgspec.msgpack.encode(["StreamsRequested", "x"]),
            ]
            say(push, [[data] for data in none] + read, MAX_COMMAND)
        with socket_of(context, zmq.XSUB, directory / WATCH) as xsub:
            say(xsub, [[b"\1topic"], [b"\0topic"], [b"\0"], [b"words"], [b"\2"]], MAX_COMMAND)
    for name in (HUB, ASK, WATCH):
        for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" + b"\0" * 8 + b"\x7f", os.urandom(100_000)):
            with socket.socket(socket.AF_UNIX) as raw, contextlib.suppress(ConnectionError):
                raw.settimeout(DEADLINE_S)
                raw.connect(str(directory / name))
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(1 << 16):  # it hangs up when it has read all, or enough
                    pass


def test_strangers_of_the_same_user_change_nothing() -> None:
    with mock_server() as server:
        load = ("--url", server.url, "--model", "m", "--procs", "2", "--streams", "5", "--duration", "60s")
        with running(*load) as (run, directory):
            say_what_strangers_say(directory, 2)
            run.wait_for("steady")
            assert len(workers_of(run.process.pid)) == 2
            run.process.send_signal(signal.SIGINT)
            code, summary, said = run.finish()
        truth = server.stop()
    assert (code, summary["ended_by"], summary["complete"]) == (130, "signal", True)
    assert summary["requests"]["started"] == summary["requests"]["ok"] == truth["done"] == truth["requests"]
    assert summary["tokens"]["output"] == truth["tokens"]
    assert {worker["state"] for worker in summary["client"]["workers"]} == {"done"}
    assert "Traceback" not in said
    assert not [event for event in summary["events"] if event["kind"] == "load"]


@pytest.mark.slow
def test_a_stranger_who_looks_does_not_blind_the_viewers() -> None:
    with mock_server() as server, zmq.Context() as context:
        load = ("--url", server.url, "--model", "m", "--procs", "1", "--streams", "2", "--duration", "60s")
        with running(*load) as (_, directory), socket_of(context, zmq.SUB, directory / WATCH) as viewer:
            viewer.rcvtimeo = DEADLINE_S * 1000
            viewer.subscribe(b"")
            viewer.recv_multipart()
            with socket_of(context, zmq.XSUB, directory / WATCH) as stranger:
                say(stranger, [[b"\1topic"], [b"\0topic"], [b"words"]], MAX_COMMAND)
            first = int.from_bytes(viewer.recv_multipart()[0], "big")
            # more than had been on their way when the stranger came
            while int.from_bytes(viewer.recv_multipart()[0], "big") < first + 8:
                pass


ANOTHER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def attempt(what):
    try:
        what()
    except PermissionError:
        return "no"
    except OSError as error:
        return repr(error)
    return "yes"
def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
run = sys.argv[1]
print(*(attempt(lambda: connect(f"{run}/{name}")) for name in ("hub", "watch", "ask")),
      *(attempt(lambda: open(f"{run}/{name}").read()) for name in ("about", "worker-0.log")),
      attempt(lambda: os.listdir(run)), attempt(lambda: os.listdir(os.path.dirname(run))),
      attempt(lambda: open(f"{run}/new", "w")), attempt(lambda: os.rename(run, run + "x")))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_can_t_come_near() -> None:
    with mock_server() as server:
        load = ("--url", server.url, "--model", "m", "--procs", "1", "--streams", "2", "--duration", "60s")
        with running(*load) as (_, directory):
            # -S and -I: his Python needs nothing but what anybody may read
            attempts = subprocess.run(
                ["/usr/bin/env", "python3", "-IS", "-c", ANOTHER, str(directory)], capture_output=True, text=True
            )
    if attempts.returncode:
        pytest.skip(f"another user can't run Python here: {attempts.stderr.splitlines()[-1:]}")
    assert attempts.stdout.split() == ["no"] * 9


def test_a_worker_of_another_version_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'llmstress.engine.worker' in sys.orig_argv:\n"
        "    import llmstress.engine.telemetry.messages as messages\n"
        "    messages.PROTOCOL_VERSION = 99\n"
    )
    code, summary, said = llmstress(
        *("--url", "http://127.0.0.1:9", "--model", "m", "--no-probe", "--procs", "1"),
        env={"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert (code, summary, said.count("\n")) == (3, {}, 1)
    assert f"worker 0 uses protocol version 99, the coordinator {PROTOCOL_VERSION}" in said


def test_a_run_lives_as_long_as_it_holds_its_lock(home: Path) -> None:
    base = run_directory.home()
    with run_directory.own_directory() as own:
        # of a process in another container: its number means nothing here
        elsewhere = base / "999999999-x"
        elsewhere.mkdir()
        descriptor = os.open(elsewhere, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # of a process that is gone; another one has its number now
        (base / f"{os.getpid()}-left").mkdir()
        assert set(run_directory.running()) == {own, elsewhere}
        assert run_directory.is_alive(own)
        os.close(descriptor)
        assert run_directory.running() == [own]
        assert {path.name for path in base.iterdir()} == {own.name}
    assert not run_directory.is_alive(own)


def test_runs_that_begin_together_don_t_clear_each_other(home: Path) -> None:
    lost: list[Path] = []
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait()
        for _ in range(20):
            with run_directory.own_directory() as directory:
                run_directory.running()
                if not directory.is_dir():
                    lost.append(directory)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert list(run_directory.home().iterdir()) == []


def test_children_don_t_hold_the_lock(home: Path) -> None:
    with run_directory.own_directory() as directory:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    directory.mkdir()
    try:
        assert not run_directory.is_alive(directory)
    finally:
        child.communicate(b"\n")
