"""Requests by the length of prompt and answer."""

import pytest
from helpers.processes import llmstress, mock_server

from llmstress.coordinator.config.band_text import NO_BANDS, parse_bands
from llmstress.coordinator.output.bands import band_rows, bands_table
from llmstress.engine.telemetry.bands import Bounds, name_of
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Part

BOUNDS = Bounds(1000, 250)


@pytest.mark.parametrize(
    ("tokens", "band"), [((0, 0), 0), ((999, 249), 0), ((999, 250), 1), ((1000, 249), 2), ((1000, 250), 3)]
)
def test_a_bound_is_the_first_long_one(tokens: tuple[int, int], band: int) -> None:
    assert BOUNDS.band(*tokens) == band


def test_bounds_are_two_numbers() -> None:
    assert parse_bands(" 4000, 500") == Bounds(4000, 500)
    assert parse_bands("off") == NO_BANDS
    for text in ("", "5", "5,", "5,0", "0,5", "5,6,7", "-1,5", "a,b"):
        with pytest.raises(ValueError, match="is neither two numbers like 1000,250"):
            parse_bands(text)


def test_only_bands_with_requests_are_shown() -> None:
    part = Part()
    for band, us in ((0, 100_000), (0, 200_000), (3, 900_000)):
        part.aside.setdefault(name_of(band, "e2e"), Histogram()).record(us)
    rows = band_rows(part, BOUNDS)
    assert [(row.input, row.output, row.ok, row.share) for row in rows] == [
        ("short", "short", 2, 0.666667),
        ("long", "long", 1, 0.333333),
    ]
    _, short, long = bands_table(rows, whole_answers=False)
    assert short.split()[:5] == ["<1,000", "<250", "2", "66.7", "%"]
    assert long.split()[:5] == ["≥1,000", "≥250", "1", "33.3", "%"]
    assert max(map(len, bands_table(rows, whole_answers=False))) <= 80
    assert bands_table(rows[:1], whole_answers=False) == []
    assert band_rows(part, None) == []


def test_each_request_is_in_the_band_of_its_tokens() -> None:
    with mock_server("--ttft-ms", "5", "--gap-ms", "1", "--tokens", "60") as server:
        code, summary, said = llmstress(
            server.url, "--model", "mock-7b", "--headless", "--no-probe", "--proxy", "none", "--quiet",
            *("--procs", "2", "--total-streams", "10", "--requests", "100", "--seed", "3"),
            *("--prompt-tokens", "10..40", "--output-tokens", "5..50", "--token-bands", "24,20"),
        )  # fmt: skip
    assert code == 0, said
    assert len(summary["bands"]) == 4
    assert sum(row["ok"] for row in summary["bands"]) == 100
    assert all(row["latency_ms"]["ttft"]["count"] == row["ok"] for row in summary["bands"])
    short, long = (
        sum(row["latency_ms"]["e2e"]["mean"] for row in summary["bands"] if row["output"] == length) / 2
        for length in ("short", "long")
    )
    assert short < long
    assert "\nprompt   answer " in said
    assert summary["run"]["options"]["token_bands"] == "24,20"
