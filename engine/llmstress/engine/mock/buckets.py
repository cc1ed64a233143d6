"""Rate limits as token buckets. Callers pass the time."""

from typing import NamedTuple


class Allowance(NamedTuple):
    """The state of one rate limit, as reported to clients."""

    limit: int
    """Capacity of the bucket."""
    remaining: int
    reset_us: int
    """Time until the bucket is full again."""


class Bucket:
    """A bucket of up to `capacity` units that gains `per_s` units a second. Times are µs of a monotonic clock."""

    __slots__ = ("_level", "_per_us", "_stamp", "capacity")

    def __init__(self, per_s: float, capacity: float, now_us: int) -> None:
        self.capacity = capacity
        self._per_us = per_s / 1e6
        self._level = capacity
        self._stamp = now_us

    def wait_us(self, amount: float, now_us: int) -> int:
        """Time in µs until `amount` may be taken; 0: now. A full bucket allows an amount above its capacity."""
        missing = min(amount, self.capacity) - self._filled(now_us)
        # one µs more, because rounding down could reject a retry at exactly this time
        return int(missing / self._per_us) + 1 if missing > 0 else 0

    def take(self, amount: float, now_us: int) -> None:
        """Take `amount`; the level may become negative."""
        self._level = self._filled(now_us) - amount

    def allowance(self, now_us: int) -> Allowance:
        """The state of this limit."""
        level = self._filled(now_us)
        return Allowance(int(self.capacity), max(0, int(level)), int((self.capacity - level) / self._per_us))

    def _filled(self, now_us: int) -> float:
        self._level = min(self.capacity, self._level + (now_us - self._stamp) * self._per_us)
        self._stamp = now_us
        return self._level


class RateLimits:
    """A bucket for requests and one for tokens; a rate of 0 means no limit."""

    __slots__ = ("_requests", "_tokens")

    def __init__(self, requests_per_s: float, tokens_per_s: float, burst_s: float, now_us: int) -> None:
        """`burst_s`: the capacity in seconds of the rate; the capacity is at least one unit."""

        def bucket(per_s: float) -> Bucket | None:
            return Bucket(per_s, max(1.0, per_s * burst_s), now_us) if per_s else None

        self._requests = bucket(requests_per_s)
        self._tokens = bucket(tokens_per_s)

    def __bool__(self) -> bool:
        """Whether there is a limit."""
        return self._requests is not None or self._tokens is not None

    def admit(self, tokens: int, now_us: int) -> int:
        """Admit a request of `tokens` tokens and return 0, or take nothing and return the time in µs to wait."""
        amounts = [(bucket, n) for bucket, n in ((self._requests, 1), (self._tokens, tokens)) if bucket is not None]
        wait = max((bucket.wait_us(amount, now_us) for bucket, amount in amounts), default=0)
        if not wait:
            for bucket, amount in amounts:
                bucket.take(amount, now_us)
        return wait

    def requests(self, now_us: int) -> Allowance | None:
        """The state of the limit of requests; None: no limit."""
        return None if self._requests is None else self._requests.allowance(now_us)

    def tokens(self, now_us: int) -> Allowance | None:
        """The state of the limit of tokens; None: no limit."""
        return None if self._tokens is None else self._tokens.allowance(now_us)
