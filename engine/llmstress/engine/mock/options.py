"""What the mock server is told to do."""

import msgspec


class MockOptions(msgspec.Struct, frozen=True):
    """Settings of the mock server.

    Raises:
        ValueError: a value is out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes any free port."""
    ttft_ms: float = 200.0
    """Milliseconds from the complete request to the first token."""
    gap_ms: float = 20.0
    """Milliseconds between two tokens."""
    tokens: int = 64
    """Tokens of an answer, unless the request asks for fewer."""
    jitter: float = 0.2
    """Every delay is multiplied by a value drawn evenly from 1 - jitter to 1 + jitter."""
    procs: int = 1
    """Processes that share the port."""
    seed: int = 0
    """Start of the random numbers behind delays and ids; process number i uses its own sequence."""
    model: str = "mock-7b"
    """The model listed, and the one named in answers to requests that name none."""
    tls_cert: str = ""
    """File with the server's certificate chain (PEM): https is spoken then. Empty: http."""
    tls_key: str = ""
    """File with its private key; empty: it is in `tls_cert`."""
    tls_client_ca: str = ""
    """File with the authorities (PEM) of which every client has to show a certificate; empty: none has to."""
    unix_socket: str = ""
    """Path to listen on instead of host and port; empty: none."""

    def __post_init__(self) -> None:
        ranges = {
            "port from 0 to 65535": 0 <= self.port <= 65_535,
            "ttft_ms from 0 to an hour": 0 <= self.ttft_ms <= 3_600_000,
            "gap_ms from 0 to an hour": 0 <= self.gap_ms <= 3_600_000,
            "tokens from 1": self.tokens >= 1,
            "jitter from 0 to 1": 0 <= self.jitter <= 1,
            "procs from 1": self.procs >= 1,
        }
        for rule, holds in ranges.items():
            if not holds:
                raise ValueError(f"out of range: {rule}")
        if (self.tls_key or self.tls_client_ca) and not self.tls_cert:
            raise ValueError("TLS needs a certificate: name its file")
        if self.unix_socket and self.tls_cert:
            raise ValueError("a Unix socket speaks plain http: drop the certificate")
