"""Token bands in the summary (`schema`)."""

from typing import Literal

import msgspec

from llmstress.coordinator.output.latencies import Latency

Length = Literal["short", "long"]


class BandRow(msgspec.Struct, frozen=True, kw_only=True):
    """The ok requests of one token band that ended in the steady windows. The server reported their input tokens."""

    input: Length
    output: Length
    input_bound: int
    """Prompts are long from so many tokens on."""
    output_bound: int
    """Answers are long from so many tokens on."""
    ok: int
    share: float
    """Of the requests in all bands."""
    latency_ms: dict[str, Latency]
    """`ttft`, `tpot` and `e2e`."""
