"""What has arrived, understood in the order of its stamps: the loop that decides what a token costs."""

from llmstress.engine.stream.fast_path import FAST_READ
from llmstress.engine.stream.stream import Load
from llmstress.engine.telemetry.histogram import HIGHEST_US

_LF, _CR = b"\n\r"


def read_arrived(load: Load, most: int, until: int) -> None:
    """Make sense of what has arrived, in the order of its stamps: at most `most` reads, and none after one that took
    the long way and ended beyond stamp `until`.

    Stamping is kept apart from understanding so that no read waits for its stamp while others are parsed. Thousands
    of streams that began together also end together; when each read was understood as it came, such a wave held the
    next stamps up for 50 ms.
    """
    arrived, classify, recorder = load.arrived, load.classify, load.recorder
    record_gap = recorder.gaps.append
    edge, texts = recorder.edge, recorder.keeps_texts
    prefixes, end, lines = load.shape.prefixes, load.shape.end, load.shape.lines
    tail = -len(end)
    for _ in range(min(most, len(arrived))):
        stream, data, now = arrived.popleft()
        if now >= edge:
            recorder.cross(now)
            edge = recorder.edge
        exchange = stream.fast
        if exchange is not None:
            size = len(data)
            prefix = prefixes[size] if size < FAST_READ else b"\0"
            payload = data[len(prefix) : tail]
            if (
                data.startswith(prefix)
                and data.endswith(end)
                and (not lines or (_LF not in payload and _CR not in payload))
                and classify(payload) is exchange.kind
            ):
                gap = (now - exchange.last_token) // 1000
                exchange.last_token = now
                if texts:
                    exchange.keep_text(payload)
                record_gap(gap)
                try:
                    exchange.gaps.append(gap)
                except OverflowError:  # over 71 minutes
                    exchange.gaps.append(HIGHEST_US)
                continue
        stream.read(data, now)
        edge, texts = recorder.edge, recorder.keeps_texts
        if load.clock() > until:
            return
