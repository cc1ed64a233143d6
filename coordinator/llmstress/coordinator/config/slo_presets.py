"""Sets of SLOs by name. Data with their source.

`mlperf`: limits of the server scenario of MLPerf Inference, in ms, as LoadGen's `mlperf.conf` has them (mlcommons/
inference, commit b66003e10e, August 2026). LoadGen counts the time to the first token from the scheduled time of a
query, so it is `ttft_due` here, and a value equal to the limit meets it.

The rules of MLPerf Inference allow 20 ms per token for gpt-oss-120b-interactive; `mlperf.conf` has 15.
"""

import difflib
from collections.abc import Mapping

from llmstress.coordinator.config.slo_text import make_slo
from llmstress.engine.telemetry.slo import Slo

_MLPERF: Mapping[str, tuple[int, int]] = {
    "llama2-70b": (2000, 200),
    "llama2-70b-interactive": (450, 40),
    "llama3.1-8b": (2000, 100),
    "llama3.1-8b-interactive": (500, 30),
    "llama3.1-405b": (6000, 175),
    "llama3.1-405b-interactive": (4500, 80),
    "mixtral-8x7b": (2000, 200),
    "deepseek-r1": (2000, 80),
    "deepseek-r1-interactive": (1500, 15),
    "gpt-oss-120b": (3000, 80),
    "gpt-oss-120b-interactive": (2000, 15),
}
"""Benchmark -> limits of TTFT and TPOT."""

PRESETS: Mapping[str, tuple[Slo, ...]] = {
    f"mlperf:{name}": (make_slo("ttft_due", "<=", f"{ttft}ms"), make_slo("tpot", "<=", f"{tpot}ms"))
    for name, (ttft, tpot) in _MLPERF.items()
}
"""Name -> its SLOs."""


def parse_preset(text: str) -> str:
    """The name of a preset.

    Raises:
        ValueError: there is no such preset; the message has similar names, or all names.
    """
    if text in PRESETS:
        return text
    close = difflib.get_close_matches(text[:60], PRESETS, 3)
    if close:
        raise ValueError(f"there is no preset {text!r}; did you mean {' or '.join(close)}?")
    raise ValueError(f"there is no preset {text!r}; use one of {', '.join(PRESETS)}")
