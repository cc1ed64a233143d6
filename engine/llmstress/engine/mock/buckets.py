"""Rate limits: token buckets that are filled by a clock which the caller reads."""

from typing import NamedTuple


class Allowance(NamedTuple):
    """What a client is told about one of the limits."""

    limit: int
    """As many as the full bucket holds."""
    remaining: int
    reset_us: int
    """Until the bucket is full again."""


class Bucket:
    """Holds up to `capacity` units and gains `per_s` a second; times are µs of any clock that doesn't run backwards."""

    __slots__ = ("_level", "_per_us", "_stamp", "capacity")

    def __init__(self, per_s: float, capacity: float, now_us: int) -> None:
        self.capacity = capacity
        self._per_us = per_s / 1e6
        self._level = capacity
        self._stamp = now_us

    def wait_us(self, amount: float, now_us: int) -> int:
        """Until `amount` may be taken, 0 for now. More than it holds may be taken from a full bucket."""
        missing = min(amount, self.capacity) - self._filled(now_us)
        # one more, so that who comes back then isn't a hair too early
        return int(missing / self._per_us) + 1 if missing > 0 else 0

    def take(self, amount: float, now_us: int) -> None:
        """Take `amount`, if need be on credit."""
        self._level = self._filled(now_us) - amount

    def allowance(self, now_us: int) -> Allowance:
        """How it stands."""
        level = self._filled(now_us)
        return Allowance(int(self.capacity), max(0, int(level)), int((self.capacity - level) / self._per_us))

    def _filled(self, now_us: int) -> float:
        self._level = min(self.capacity, self._level + (now_us - self._stamp) * self._per_us)
        self._stamp = now_us
        return self._level


class RateLimits:
    """A bucket of requests and one of tokens; a rate of 0 is no limit."""

    __slots__ = ("_requests", "_tokens")

    def __init__(self, requests_per_s: float, tokens_per_s: float, burst_s: float, now_us: int) -> None:
        """`burst_s`: for how many seconds of its rate a bucket has room, but always for one unit."""

        def bucket(per_s: float) -> Bucket | None:
            return Bucket(per_s, max(1.0, per_s * burst_s), now_us) if per_s else None

        self._requests = bucket(requests_per_s)
        self._tokens = bucket(tokens_per_s)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._requests is not None or self._tokens is not None

    def admit(self, tokens: int, now_us: int) -> int:
        """Let a request of so many tokens in: 0, or the µs after which it may come again; then nothing was taken."""
        amounts = [(bucket, n) for bucket, n in ((self._requests, 1), (self._tokens, tokens)) if bucket is not None]
        wait = max((bucket.wait_us(amount, now_us) for bucket, amount in amounts), default=0)
        if not wait:
            for bucket, amount in amounts:
                bucket.take(amount, now_us)
        return wait

    def requests(self, now_us: int) -> Allowance | None:
        """How requests stand; None: they have no limit."""
        return None if self._requests is None else self._requests.allowance(now_us)

    def tokens(self, now_us: int) -> Allowance | None:
        """How tokens stand; None: they have no limit."""
        return None if self._tokens is None else self._tokens.allowance(now_us)
