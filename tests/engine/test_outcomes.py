import pytest

from llmstress.engine.telemetry.messages import Counters, Part
from llmstress.engine.telemetry.outcomes import describe_outcome


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        ({}, "no request finished"),
        ({"cancelled": 7}, "no request finished"),
        ({"ok": 1}, "1 request succeeded"),
        ({"ok": 1204, "cancelled": 3}, "all 1,204 requests succeeded"),
        ({"ok": 10, "filtered": 2}, "none of 12 requests failed, 2 filtered"),
        ({"http_404": 1}, "100% of 1 request failed (http_404 100%)"),
        (
            {"ok": 452, "http_401": 150, "http_500": 602},
            "62.5% of 1,204 requests failed (http_500 50%, http_401 12.5%)",
        ),
        (
            {"a": 50, "b": 20, "c": 10, "d": 15, "e": 5},
            "100% of 100 requests failed (a 50%, b 20%, d 15%, other classes 15%)",
        ),
        ({"ok": 99_999, "reset": 1}, "under 0.1% of 100,000 requests failed (reset under 0.1%)"),
        ({"ok": 1, "reset": 99_999}, "99.9% of 100,000 requests failed (reset 99.9%)"),
        ({"ok": 1, "reset": 1, "lost": 2}, "25% of 4 requests failed (reset 25%), 2 lost"),
    ],
)
def test_the_outcome_is_one_sentence(ended: dict[str, int], sentence: str) -> None:
    assert describe_outcome(Part(ended=ended)) == sentence


@pytest.mark.parametrize(
    ("ended", "counters", "sentence"),
    [
        ({"ok": 156, "cancelled": 44}, Counters(abandoned=44), "all 156 finished requests succeeded, 44 abandoned"),
        ({"ok": 1, "cancelled": 50}, Counters(abandoned=44), "1 finished request succeeded, 44 abandoned"),
        ({"cancelled": 44}, Counters(abandoned=44), "no request finished, 44 abandoned"),
        (
            {"ok": 9, "filtered": 1, "cancelled": 3},
            Counters(abandoned=3),
            "none of 10 finished requests failed, 1 filtered and 3 abandoned",
        ),
        (
            {"ok": 8, "reset": 2, "lost": 6, "cancelled": 4},
            Counters(abandoned=4),
            "12.5% of 16 finished requests failed (reset 12.5%), 6 lost, 4 abandoned",
        ),
        (
            {"ok": 80, "http_401": 12, "http_500": 8},
            Counters(set_up_again=11),
            "20% of 100 requests failed (http_401 12%, http_500 8%), 11 of the 12 http_401 led to a new set-up of the "
            "flow",
        ),
    ],
)
def test_the_outcome_names_users_who_left_and_flows_that_logged_in_again(
    ended: dict[str, int], counters: Counters, sentence: str
) -> None:
    assert describe_outcome(Part(ended=ended, counters=counters)) == sentence
