"""Answers whose events something collected before they reached this client: how many, how late, what to do about it."""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.messages import Counters


class Collected(msgspec.Struct, frozen=True):
    """What the reads of a stretch of the run show."""

    share: float
    """Of the long answers, how many came in blocks."""
    apart_us: float
    """Time between two blocks, on average; 0: every answer came in one."""
    what: str
    """How many answers came so, and which metrics that changes."""
    named: str
    """The headers that tell who passed the answers on, in parentheses; empty: there are none."""
    advice: str
    """What to set, depending on these headers."""

    @property
    def text(self) -> str:
        """All of it."""
        return f"{SENTENCE}: {ADVICE}".format_map(self.values)

    @property
    def values(self) -> Mapping[str, object]:
        """Values for `SENTENCE` and `ADVICE`."""
        return {"what": self.what, "named": self.named, "advice": self.advice}


SENTENCE = "answers come in {what}; e2e is right. The target or a proxy collects them{named}"
ADVICE = "{advice}"
"""Of the rules of the verdict and of `probe`."""


def collected(counters: Counters, signs: list[str]) -> Collected | None:
    """What can be said of the answers that came in blocks; None: none did. `signs`: headers of the answers."""
    if not (counters.long_answers and counters.blocks):
        return None
    share = counters.in_blocks / counters.long_answers
    several = counters.in_blocks - counters.in_one_block
    between = counters.blocks - counters.in_blocks
    apart_us = counters.blocks_gaps_ns / 1000 / between if between > 0 else 0.0
    if several > 0:
        each = counters.blocks_events / counters.blocks
        dated = counters.blocks_dated
        late_us = counters.blocks_late_ns / 1000 / dated if 2 * dated >= several else 0.0
        late = f"ttft is about {late_us / 1000:,.0f} ms late, tpot too short, and " if late_us >= 1000 else ""
        what = f"blocks: in {share:.0%} of them {each:.1f} token events shared a read, so {late}itl measures blocks"
    else:
        what = (
            f"one piece: in {share:.0%} of them all token events shared a read, so ttft is the time of the complete "
            "answer, and itl and tpot have no meaning"
        )
    named = f" (the answers' headers: {', '.join(signs)})" if signs else ""
    return Collected(share, apart_us, what, named, _advice(signs))


def _advice(signs: list[str]) -> str:
    if any(sign.startswith("content-encoding: ") for sign in signs):
        return "turn off compression of text/event-stream, or flush each event (nginx: proxy_buffering off)"
    if any(sign.startswith("server: nginx") for sign in signs):
        return "set proxy_buffering off in nginx, or send X-Accel-Buffering: no in the target's answers"
    return (
        "let the proxy forward each event at once (nginx: proxy_buffering off, or X-Accel-Buffering: no in the "
        "target's answers), or let the target write events one by one"
    )
