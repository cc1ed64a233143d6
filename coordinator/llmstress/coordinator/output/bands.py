"""Token bands in the summary and in the table at the end. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.output.band_schema import BandRow
from llmstress.coordinator.output.latencies import describe
from llmstress.coordinator.output.load_text import value_of
from llmstress.engine.telemetry.bands import BANDS, Bounds, values_of
from llmstress.engine.telemetry.formatting import count
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.metrics import COMPARED


def band_rows(steady: Part, bounds: Bounds | None) -> list[BandRow]:
    """The bands that have requests; `bounds`: None if requests are not told apart."""
    if bounds is None:
        return []
    found = [(band, values_of(steady.aside, band)) for band in BANDS]
    total = sum(values["e2e"].count for _, values in found if values)
    return [
        BandRow(
            input="long" if band & 2 else "short",
            output="long" if band & 1 else "short",
            input_bound=bounds.input,
            output_bound=bounds.output,
            ok=values["e2e"].count,
            share=round(values["e2e"].count / total, 6),
            latency_ms={metric: describe(histogram) for metric, histogram in values.items()},
        )
        for band, values in found
        if values
    ]


def bands_table(rows: Sequence[BandRow], *, whole_answers: bool) -> list[str]:
    """The lines of the table, of at most 80 columns; none for a single band."""
    if len(rows) < 2:
        return []
    of_tokens = "" if whole_answers else f"{'TTFT p50':>10}{'p99':>9}{'TPOT p50':>10}"
    head = f"{'prompt':<9}{'answer':<9}{'ok':>9}{'share':>8}{of_tokens}{'E2E p50':>10}"
    return [head, *(_line(row, of_tokens=bool(of_tokens)) for row in rows)]


def _line(row: BandRow, *, of_tokens: bool) -> str:
    ttft, tpot, e2e = (row.latency_ms.get(metric) for metric in COMPARED)
    shown = f"{value_of(ttft, 'p50'):>10}{value_of(ttft, 'p99'):>9}{value_of(tpot, 'p50'):>10}" if of_tokens else ""
    prompt = f"{'≥' if row.input == 'long' else '<'}{row.input_bound:,}"
    answer = f"{'≥' if row.output == 'long' else '<'}{row.output_bound:,}"
    share = f"{100 * row.share:.3g} %"
    return f"{prompt:<9}{answer:<9}{count(row.ok):>9}{share:>8}{shown}{value_of(e2e, 'p50'):>10}"
