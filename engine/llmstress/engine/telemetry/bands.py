"""Token bands: requests with short and long prompts, and short and long answers, apart. Pure functions.

A request that ended ok belongs to one of four bands, by the input and output tokens that the server reports. The values
of a band are kept in `Part.aside`, in the window in which their requests ended.
"""

from collections.abc import Mapping

import msgspec

from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.metrics import COMPARED


class Bounds(msgspec.Struct, array_like=True, frozen=True):
    """Where long prompts and long answers begin, in tokens."""

    input: int
    output: int

    def band(self, input_tokens: int, output_tokens: int) -> int:
        """0: both are short; 1: the answer is long; 2: the prompt is long; 3: both are."""
        return 2 * (input_tokens >= self.input) + (output_tokens >= self.output)


BANDS = range(4)


def name_of(band: int, metric: str) -> str:
    """Name in `Part.aside` of the values (µs) of a band in a metric."""
    return f"band{band}:{metric}"


def values_of(aside: Mapping[str, Histogram], band: int) -> dict[str, Histogram]:
    """Metric -> the values (µs) of a band. `e2e` has one for each request."""
    return {metric: found for metric in COMPARED if (found := aside.get(name_of(band, metric))) is not None}
