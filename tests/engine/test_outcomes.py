import pytest

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
    assert describe_outcome(ended) == sentence
