"""The worked cases of docs/metrics.md, one by one, read by read through the real stream."""

from typing import Any

import pytest
from helpers.bench import (
    BEGIN,
    DONE,
    END,
    FINISH,
    HEAD,
    MS,
    REASONING,
    ROLE,
    TOKEN,
    Bench,
    chunk,
    delta,
    event,
    usage,
    values,
)

from llmstress.engine.schedule import steady_from
from llmstress.engine.telemetry.messages import Part, Phase


def measure(bench: Bench) -> Part:
    part = bench.steady()
    assert sum(part.ended.values()) == part.counters.started == 1
    return part


def latencies(part: Part) -> dict[str, list[int]]:
    return {name: values(part.latency, name) for name in part.latency}


def bounds(part: Part) -> tuple[float, float]:
    """Of an undetermined tpot, in ms: by usage, by events."""
    return part.aside["tpot_by_usage"].sum / 1000, part.aside["tpot_by_events"].sum / 1000


def counted(tokens: int, **payload: Any) -> bytes:
    """An event that says how many tokens there were so far."""
    usage = {"prompt_tokens": 3, "completion_tokens": tokens}
    return event({"choices": [{"index": 0, "delta": payload, "finish_reason": None}], "usage": usage})


def test_plain() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(100, ROLE)
    for ms in (200, 220, 240, 270, 300):
        bench.read(ms, TOKEN)
    bench.read(302, FINISH)
    bench.read(303, usage(5))
    bench.read(304, DONE, END)
    part = measure(bench)
    assert part.ended == {"ok": 1}
    assert part.finish == {"stop": 1}
    assert latencies(part) == {
        "queue": [0],
        "connect": [1],
        "ttfb": [89],
        "ttft": [200],
        "ttft_due": [200],
        "ttfa": [200],
        "itl": [20, 20, 30, 30],
        "tpot": [25],
        "stall": [30],
        "e2e": [304],
        "e2e_due": [304],
    }
    assert (part.counters.output, part.counters.input, part.counters.events) == (5, 3, 5)


def test_several_tokens_an_event() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    for ms, text in ((200, " a"), (260, " a b c"), (320, " d e f")):
        bench.read(ms, delta(content=text))
    bench.read(321, FINISH)
    bench.read(322, usage(7), END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [200]
    assert latencies(part)["itl"] == [60, 60]
    assert latencies(part)["tpot"] == [20]
    assert latencies(part)["e2e"] == [321]
    assert part.counters.output_streamed / part.counters.events_ok == pytest.approx(2.33, abs=0.01)


def test_hidden_reasoning_is_throughput_but_no_decoding_speed() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    for ms in range(5000, 5201, 20):
        bench.read(ms, TOKEN)
    bench.read(5201, FINISH, usage(511, reasoning=500), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [5000]
    assert latencies(part)["itl"] == [20] * 10
    assert latencies(part)["tpot"] == [20]
    assert (part.counters.output, part.counters.reasoning) == (511, 500)


def test_tokens_bundled_in_the_first_event_are_known_where_usage_comes_with_events() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(800, counted(30, content=" many" * 30))
    for number, ms in enumerate(range(820, 1001, 20), 31):
        bench.read(ms, counted(number, content=" one"))
    bench.read(1001, FINISH, usage(40), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [800]
    assert latencies(part)["itl"] == [20] * 10
    assert latencies(part)["tpot"] == [20]
    assert not part.undetermined


def test_tokens_bundled_in_the_first_event_leave_tpot_undetermined_without_counts() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(800, delta(content=" many" * 30))
    for ms in range(820, 1001, 20):
        bench.read(ms, delta(content=" one"))
    bench.read(1001, FINISH, usage(40), DONE, END)
    part = measure(bench)
    assert latencies(part)["itl"] == [20] * 10
    assert "tpot" not in part.latency
    assert part.undetermined == {"bundled first event": 1}
    by_usage, by_events = bounds(part)
    assert by_usage == pytest.approx(5.1, abs=0.05)
    assert by_events == 20


def test_tokens_hidden_behind_a_tool_parser_are_none_of_the_pace() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD, ROLE)
    for number in range(1, 40):
        bench.read(100 + 20 * number, counted(number))
    bench.read(900, counted(40, tool_calls=[{"function": {"name": "write_file"}}]))
    bench.read(920, counted(41, tool_calls=[{"function": {"arguments": "{}"}}]))
    bench.read(921, delta(finish="tool_calls"), usage(41), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [900]
    assert latencies(part)["tpot"] == [20]


def test_a_first_read_of_several_events_is_none_of_the_pace() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, *[TOKEN] * 16)
    bench.read(220, TOKEN)
    bench.read(221, FINISH, usage(17), DONE, END)
    part = measure(bench)
    assert latencies(part)["tpot"] == [20], "the 16 share the stamp of the first: 20 ms for one token"


def test_an_answer_in_one_read_has_no_tpot() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, *[TOKEN] * 5)
    bench.read(201, FINISH, usage(5), DONE, END)
    part = measure(bench)
    assert "tpot" not in part.latency
    assert part.undetermined == {"few pieces": 1}


def test_a_prefill_alone_is_ok() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, delta(finish="length", role="assistant", content=""))
    bench.read(201, usage(1), DONE, END)
    part = measure(bench)
    assert part.ended == {"ok": 1}
    assert latencies(part)["ttft"] == latencies(part)["ttft_due"] == [200]
    assert not {"itl", "tpot", "ttfa"} & part.latency.keys()
    assert (part.counters.output, part.counters.events, part.counters.without_text) == (1, 0, 1)


def test_a_finish_on_every_event_is_no_end() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    for ms in (200, 220, 240):
        bench.read(ms, delta(finish="stop", content=" a"))
    bench.read(242, DONE, END)
    part = measure(bench)
    assert part.ended == {"ok": 1}
    assert part.finish == {"stop": 1}
    assert latencies(part)["ttft"] == [200]
    assert latencies(part)["itl"] == latencies(part)["tpot"] * 2 == [20, 20]
    assert latencies(part)["e2e"] == [242]


def test_the_end_event_without_a_finish_reason_is_an_end() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.read(220, TOKEN)
    bench.read(222, usage(2))
    bench.read(225, DONE, END)
    part = measure(bench)
    assert (part.ended, part.finish) == ({"ok": 1}, {"none": 1})
    assert latencies(part)["tpot"] == [20]
    assert latencies(part)["e2e"] == [225]


def test_a_body_that_stays_open_after_the_finish_is_closed() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.read(220, TOKEN)
    bench.read(221, FINISH)
    bench.at(720).stream.check(bench.now)
    assert bench.freed == []
    bench.at(721).stream.check(bench.now)
    part = measure(bench)
    assert bench.links[0].closed
    assert part.ended == {"ok": 1}
    assert latencies(part)["e2e"] == [221]
    assert (part.counters.stayed_open, part.counters.stayed_open_ns) == (1, 500_000_000)


def test_coalesced_events_share_the_stamp_of_their_read() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.read(300, *[TOKEN] * 5)
    bench.read(301, FINISH, usage(6), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [200]
    assert latencies(part)["itl"] == [0, 0, 0, 0, 100]
    assert latencies(part)["tpot"] == [20]
    assert part.counters.events_shared == 5
    assert part.counters.events == 6


def test_one_token_has_no_gap_and_no_tpot() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.read(201, FINISH, usage(1), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [200]
    assert not {"itl", "tpot", "stall"} & part.latency.keys()
    assert part.ended == {"ok": 1}


def test_streamed_reasoning_counts_as_tokens_and_delays_the_answer() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    for ms in (200, 220, 240):
        bench.read(ms, REASONING)
    for ms in (260, 280):
        bench.read(ms, TOKEN)
    bench.read(281, FINISH, usage(5, reasoning=3), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [200]
    assert latencies(part)["itl"] == [20] * 4
    assert latencies(part)["tpot"] == [20]
    assert latencies(part)["ttfa"] == [260]


def test_no_token_is_empty() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(100, ROLE)
    bench.read(900, delta(finish="length"), usage(64, reasoning=64), DONE, END)
    part = measure(bench)
    assert part.ended == {"empty": 1}
    assert not part.latency
    assert values(part.latency_failed, "ttfb") == [89]
    assert not {"ttft", "ttft_due", "itl", "tpot", "e2e_due"} & part.latency_failed.keys()


def test_truncated_keeps_its_samples_apart() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.read(220, TOKEN)
    live = bench.cut().parts
    assert values(live[2].latency, "ttft") == [200]
    assert values(live[2].latency, "itl") == [20]
    bench.at(230).lose(None)
    late = bench.cut().parts[2]
    assert late.ended == {"truncated": 1}
    assert values(late.retracted, "ttft") == values(late.latency_failed, "ttft") == [200]
    assert values(late.retracted, "ttft_due") == values(late.latency_failed, "ttft_due") == [200]
    assert values(late.retracted, "itl") == values(late.latency_failed, "itl") == [20]
    assert "tpot" not in late.latency_failed
    live[2].add(late)
    live[2].settle()
    assert not values(live[2].latency, "ttft")
    assert not values(live[2].latency, "itl")
    assert late.counters.output_failed == 2


def test_a_ping_is_no_token() -> None:
    bench = Bench()
    bench.begin()
    bench.read(500, HEAD)
    bench.read(15_000, chunk(b": ping\n\n"))
    bench.read(20_000, TOKEN)
    bench.read(20_020, TOKEN)
    bench.read(20_021, FINISH, usage(2), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttfb"] == [499]
    assert values(part.latency, "ttft") == [20_000]
    assert latencies(part)["itl"] == [20]
    assert latencies(part)["tpot"] == [20]


def test_new_connection() -> None:
    bench = Bench()
    bench.begin(0, sent=40)
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.read(220, TOKEN)
    bench.read(221, FINISH, usage(2), DONE, END)
    part = measure(bench)
    assert latencies(part)["connect"] == [40]
    assert latencies(part)["ttfb"] == [50]
    assert latencies(part)["ttft"] == [200]
    assert latencies(part)["itl"] == latencies(part)["tpot"] == [20]


def test_late_start_is_queue() -> None:
    bench = Bench()
    bench.begin(300, due=0, sent=301)
    bench.read(390, HEAD)
    bench.read(500, TOKEN)
    bench.read(520, TOKEN)
    bench.read(521, FINISH, usage(2), END)
    part = measure(bench)
    assert latencies(part)["queue"] == [300]
    assert latencies(part)["ttft"] == [200]
    assert latencies(part)["ttft_due"] == [500]
    assert latencies(part)["e2e"] == [221]
    assert latencies(part)["e2e_due"] == [521]


def test_a_kept_connection_is_no_connect_sample() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD, TOKEN, FINISH, DONE, END)
    bench.begin(100)
    bench.read(190, HEAD, TOKEN, FINISH, DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 2}
    assert len(values(part.latency, "connect")) == 1
    assert len(bench.links) == 1


def test_several_choices_have_gaps_of_their_own() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    for ms, choice in ((200, 0), (210, 1), (220, 0), (240, 1)):
        bench.read(ms, delta(index=choice, content="x"))
    bench.read(250, delta(finish="stop"), delta(finish="stop", index=1), usage(4), DONE, END)
    part = measure(bench)
    assert latencies(part)["ttft"] == [200]
    assert latencies(part)["itl"] == [20, 30]
    assert latencies(part)["tpot"] == [25], "(20 + 30) ms for 4 tokens, but the first of each"
    assert latencies(part)["stall"] == [30]
    assert part.counters.events == 4


def test_several_choices_share_one_usage() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    for ms, choice in ((200, 1), (210, 0), (220, 2), (230, 0), (260, 1)):
        bench.read(ms, delta(index=choice, content="x"))
    bench.read(270, delta(finish="stop"))
    bench.read(280, delta(finish="stop", index=1))
    bench.read(290, delta(finish="length", index=2))
    bench.read(300, usage(11), END)
    part = measure(bench)
    assert part.undetermined == {"hidden tokens": 1}
    assert bounds(part) == (10, 40), "(20 + 60 + 0) ms for 11 tokens, or for 5 events, but the first of each"
    assert latencies(part)["e2e"] == [290], "over when the last of them has finished"
    assert part.finish == {"stop": 1}


def test_choices_of_a_single_event_have_no_tpot() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, delta(index=0, content="x"))
    bench.read(210, delta(index=1, content="x"))
    bench.read(220, delta(finish="stop"), delta(finish="stop", index=1), usage(9), DONE, END)
    part = measure(bench)
    assert part.ended == {"ok": 1}
    assert "tpot" not in part.latency


def test_a_choice_that_goes_on_alone_takes_the_fast_path_again_only_if_it_was_always_alone() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    assert bench.stream.fast is not None
    bench.read(210, delta(index=1, content="x"))
    assert bench.stream.fast is None
    bench.read(220, delta(finish="stop", index=1))
    bench.read(230, TOKEN)
    assert bench.stream.fast is None
    bench.read(240, FINISH, DONE, END)
    part = measure(bench)
    assert part.ended == {"ok": 1}
    assert latencies(part)["itl"] == [30]


def test_without_usage_tokens_are_events() -> None:
    bench = Bench()
    bench.begin()
    bench.read(90, HEAD)
    for ms in (200, 220, 240):
        bench.read(ms, TOKEN)
    bench.read(241, FINISH, DONE, END)
    part = measure(bench)
    assert (part.counters.output, part.counters.usage_seen) == (3, 0)
    assert latencies(part)["tpot"] == [20]


def test_a_sample_belongs_to_the_phase_of_the_stamp_that_completes_it() -> None:
    bench = Bench(edges=(100, 250, 400))  # ramp until 100, warm-up until 250, steady until 400
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.read(249.999, TOKEN)
    bench.read(250, TOKEN)
    bench.read(399.999, TOKEN)
    bench.read(400, TOKEN)
    bench.read(410, FINISH, DONE, END)
    ramp, warmup, steady, drain = (bench.recorder.samples(0).part(phase) for phase in range(4))
    bench.cut()
    assert ramp.counters.started == 1
    assert values(ramp.latency, "ttfb") == [89]
    assert values(warmup.latency, "ttft") == [200]
    assert values(warmup.latency, "itl") == [50]
    assert values(steady.latency, "itl") == [0, 150]
    assert values(drain.latency, "itl") == [0]
    assert (warmup.counters.events, steady.counters.events, drain.counters.events) == (2, 2, 1)
    assert drain.ended == {"ok": 1}
    assert values(drain.latency, "e2e") == [410]


def test_a_warm_up_without_an_end_ends_when_told() -> None:
    bench = Bench(edges=(100, None, None))
    bench.begin()
    bench.read(90, HEAD)
    bench.read(200, TOKEN)
    bench.at(240)
    bench.recorder.set_windows(steady_from(bench.windows, 250 * MS, 150 * MS))
    bench.read(249.999, TOKEN)
    bench.read(250, TOKEN)
    bench.read(400, TOKEN)
    bench.read(410, FINISH, DONE, END)
    warmup, steady, drain = (bench.recorder.samples(0).part(phase) for phase in (1, 2, 3))
    bench.recorder.finish(BEGIN + 450 * MS)
    bench.cut()
    assert (warmup.counters.events, steady.counters.events, drain.counters.events) == (2, 1, 1)
    assert (bench.recorder.steady_ns, bench.recorder.drain_ns) == (150 * MS, 50 * MS)


def test_a_warm_up_that_is_never_told_to_end_leaves_an_empty_window() -> None:
    bench = Bench(edges=(0, None, None))
    bench.begin()
    bench.read(90, HEAD, TOKEN, FINISH, DONE, END)
    bench.recorder.drain_from(BEGIN + 100 * MS)
    bench.recorder.finish(BEGIN + 150 * MS)
    parts = bench.cut().parts
    assert parts[1].ended == {"ok": 1}
    assert Phase.STEADY not in parts
    assert (bench.recorder.steady_ns, bench.recorder.drain_ns) == (0, 50 * MS)


def test_gaps_are_taken_out_of_the_phase_they_were_in_even_if_the_first_token_was_in_another() -> None:
    bench = Bench(edges=(100, 250, 400))
    bench.begin()
    bench.read(90, HEAD)
    bench.read(390, TOKEN)
    bench.read(420, TOKEN)
    bench.at(430).lose(ConnectionResetError())
    parts = bench.cut().parts
    assert values(parts[2].retracted, "ttft") == [390]
    assert "itl" not in parts[2].retracted
    assert values(parts[3].retracted, "itl") == [30]


def test_a_failure_takes_its_samples_out_of_each_phase_they_were_recorded_in() -> None:
    bench = Bench(edges=(100, 250, 400))
    bench.begin()
    bench.read(90, HEAD)
    for ms in (200, 230, 260, 300, 390, 405):
        bench.read(ms, TOKEN)
    before = bench.cut().parts
    bench.at(420).lose(ConnectionResetError())
    after = bench.cut().parts
    assert after[3].ended == {"truncated": 1}
    for phase, part in after.items():
        before.setdefault(phase, Part()).add(part)
        before[phase].settle()
    assert all(
        not values(part.latency, name) for part in before.values() for name in ("ttft", "ttft_due", "ttfa", "itl")
    )
    assert values(before[1].latency_failed, "ttft") == [200]
    assert values(before[1].latency_failed, "itl") == [30]
    assert values(before[2].latency_failed, "itl") == [30, 40, 90]
    assert values(before[3].latency_failed, "itl") == [15]
