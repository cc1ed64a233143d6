"""Records: what thinning keeps, how large a file becomes, and files that were cut off, damaged or are no records."""

import sqlite3
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import msgspec
import pytest
from helpers.made_up_runs import WORKERS, after, eventful, figures_of, parts_after, parts_of
from helpers.screens import S, ending, opening, story, write_record

from llmstress.engine.telemetry import record
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import Ended, Message, RunView, encode
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Delta, Part
from llmstress.engine.telemetry.record import Moment, NoRecord, Reader, Writer
from llmstress.engine.telemetry.thinning import HISTOGRAMS, Stand, Step, take_in

SECONDS = 80


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files so small that two minutes are thinned as hours are."""
    monkeypatch.setattr(record, "RAW_BYTES", 4_000)
    monkeypatch.setattr(record, "LEVEL_BYTES", 8_000)
    monkeypatch.setattr(record, "MOST_STEPS", 20)


def kept(path: Path, told: list[tuple[int, Message]]) -> Reader:
    """The record of a run of the eventful kind."""
    return Reader(write_record(path, list(told), opening(WORKERS, 10)))


def levels_of(path: Path) -> dict[int, tuple[int, int, int]]:
    """Level -> begin, end and bytes of what the file holds of it."""
    database = sqlite3.connect(path)
    rows = database.execute('SELECT level, min(begin), max("end"), sum(length(data)) FROM step GROUP BY level')
    found = {level: (begin, end, size) for level, begin, end, size in rows}
    database.close()
    return found


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("seed", range(3))
def test_a_thinned_record_has_the_figures_of_the_run(tmp_path: Path, seed: int) -> None:
    told = eventful(SECONDS, seed)
    reader = kept(tmp_path / "run.rec", told)
    assert reader.whole_from > 0, "it was thinned"
    whole = after(told)
    for goal in (None, 0, SECONDS // 2 * S, SECONDS * S):
        view = reader.opening()
        merged = {}
        for moment in reader.moments(goal=goal):
            take_in(view, moment.frame)
            if isinstance(moment.frame, Step):
                merged[moment.at] = parts_of(view.aggregate)
        assert len(merged) > 5
        assert merged == parts_after(told, set(merged))
        assert figures_of(view.aggregate) == figures_of(whole.aggregate)
        assert (view.facts, view.paused, view.ended) == (whole.facts, whole.paused, whole.ended)
        for of_row in (attrgetter(name) for name in ("requests", "events", "failed", "latency.count", "latency.sum")):
            assert sum(map(of_row, view.aggregate.rows)) == sum(map(of_row, whole.aggregate.rows))


@pytest.mark.usefixtures("_small")
def test_all_that_is_not_merged_comes_out_as_it_went_in(tmp_path: Path) -> None:
    told = eventful(SECONDS)
    reader = kept(tmp_path / "run.rec", told)
    others = [(t, message) for t, message in told if not isinstance(message, Delta)]
    moments = list(reader.moments())
    assert [
        (moment.t, moment.frame) for moment in moments if not isinstance(moment.frame, Step | Stand | Delta)
    ] == others
    deltas = [(t, message) for t, message in told if isinstance(message, Delta)]
    assert [(moment.t, moment.frame) for moment in moments if isinstance(moment.frame, Delta)] == deltas[
        reader.whole_from :
    ]
    assert [moment.t for moment in moments] == sorted(moment.t for moment in moments)
    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    assert moments[-1].at == len(deltas)


@pytest.mark.usefixtures("_small")
def test_the_oldest_is_the_coarsest_and_no_level_goes_beyond_its_share(tmp_path: Path) -> None:
    path = tmp_path / "run.rec"
    told = eventful(2 * SECONDS)
    kept(path, told)
    levels = levels_of(path)
    begins = [begin for begin, _, _ in levels.values()]
    assert begins == sorted(begins, reverse=True)
    assert begins[0] > begins[1] > begins[2] > 0, "three levels were thinned"
    assert begins[-1] == 0, "the highest level holds the whole run"
    # a level goes beyond its share by what the level above does not hold yet
    assert all(size < 2 * 8_000 for _, _, size in list(levels.values())[:3])
    last = sum(isinstance(message, Delta) for _, message in told)
    assert all(end == last for _, end, _ in levels.values()), "every worker was done: every step is complete"


def test_an_early_part_can_be_read_from_any_step(tmp_path: Path) -> None:
    reader = kept(tmp_path / "run.rec", eventful(30))
    moments = list(reader.moments())
    for number, moment in enumerate(moments):
        if isinstance(moment.frame, Stand):
            assert list(reader.moments(moment.at)) == moments[number + 1 :]


def test_every_field_of_a_delta_is_merged_or_known_to_need_no_merging() -> None:
    merged = {"seq", "t_from", "t_to", "window", "open", "open_max", "rss", "parts", "samples", "worker"}
    in_the_stand = {"merged", "signs", "rate_limits", "fatal", "fields", "waiting", "waiting_max"}
    in_the_log, of_the_facts = {"corrected_late"}, {"named"}
    assert set(Delta.__struct_fields__) == merged | in_the_stand | in_the_log | of_the_facts, (
        "say in thinning.Merger what becomes of a new field"
    )
    of_parts = {name for name, kind in Part.__annotations__.items() if kind == dict[str, Histogram]}
    assert of_parts == set(HISTOGRAMS)


def test_a_writer_that_is_killed_leaves_a_record(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from helpers.made_up_runs import WORKERS, eventful
from helpers.screens import opening
from llmstress.engine.telemetry import record
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import encode
record.RAW_BYTES = record.LEVEL_BYTES = 20_000
view = opening(WORKERS, 10)
writer = record.Writer(Path(sys.argv[1]), view)
for number, (t, message) in enumerate(eventful(200)):
    writer.turn(message)
    view.apply(message)
    writer.append(t, message, encode(message))
    if number % 100 == 0:
        print(view.aggregate.elapsed_ns, flush=True)
"""
    tests = Path(__file__).parents[1]
    path = tmp_path / "run.rec"
    places = [str(tests), *(str(tests.parent / name) for name in ("engine", "coordinator", "tui"))]
    command = [sys.executable, "-c", code, str(path), *places]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(10):
            told = int(process.stdout.readline())
        process.kill()
    reader = Reader(path)
    view = reader.opening()
    for moment in reader.moments(goal=0):
        take_in(view, moment.frame)
    assert view.aggregate.elapsed_ns >= told - 2 * S
    reference = parts_after(eventful(200), {moment.at})
    assert parts_of(view.aggregate) == reference[moment.at]


def writer_of(path: Path) -> tuple[Writer, RunView]:
    view = opening(WORKERS, 10)
    return Writer(path, view), view


def note(writer: Writer, view: RunView, t: int) -> None:
    message = Notice(t, "note", f"at {t}")
    writer.turn(message)
    view.apply(message)
    writer.append(t, message, encode(message))
    writer.flush()


def notes_in(path: Path) -> list[int]:
    return [moment.t for moment in Reader(path).moments()]


def test_a_reader_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "run.rec"
    writer, view = writer_of(path)
    note(writer, view, 1)
    assert notes_in(path) == [1], "a record can be read while it is written"
    reading = sqlite3.connect(path, isolation_level=None)
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM said").fetchone()
    note(writer, view, 2)
    note(writer, view, 3)
    reading.close()
    assert notes_in(path) == [1]
    note(writer, view, 4)
    writer.close()
    assert notes_in(path) == [1, 2, 3, 4]


def test_a_reader_who_never_lets_go_ends_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "PENDING_COMMITS", 2)
    path = tmp_path / "run.rec"
    writer, view = writer_of(path)
    reading = sqlite3.connect(path, isolation_level=None)
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM said").fetchone()
    note(writer, view, 1)
    with pytest.raises(OSError, match="locked"):
        note(writer, view, 2)
    reading.close()


def test_the_last_of_a_record_is_never_lost_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LAST_WAIT_MS", 0)
    path = tmp_path / "run.rec"
    writer, view = writer_of(path)
    note(writer, view, 1)
    reading = sqlite3.connect(path, isolation_level=None)
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM said").fetchone()
    note(writer, view, 2)
    with pytest.raises(OSError, match="locked"):
        writer.close()
    reading.close()
    assert notes_in(path) == [1]


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.rec"
    path.write_bytes(b"something " * 10_000)
    (tmp_path / "run.rec-journal").write_bytes(b"of a writer that was killed")
    writer, view = writer_of(path)
    note(writer, view, 7)
    writer.close()
    assert notes_in(path) == [7]
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_record(tmp_path / "run.rec", [*story(), *ending()])


def test_other_files_are_no_records(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "other.db"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE said (a)")
    database.commit()
    database.close()
    for name, data, words in (
        ("empty", b"", "not a recorded run"),
        ("text", b"{}" * 100, "not a recorded run"),
        ("database", other.read_bytes(), "not a recorded run"),
        ("before", b"llmstress.record/2\n" + b"\0" * 100, "another version"),
        ("head", path.read_bytes()[:16], "damaged|not a recorded run"),
        ("half", path.read_bytes()[: path.stat().st_size // 2], "damaged|not a recorded run"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(NoRecord, match=words):
            list(Reader(tmp_path / name).moments())
    with pytest.raises(OSError, match="nowhere"):
        Reader(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("PRAGMA user_version = 4", "another version"),
        ("PRAGMA user_version = 6", "another version"),
        ("DELETE FROM said", "cut off before its first message"),
        ("DELETE FROM said WHERE id = 1", "complete state"),
        ("UPDATE said SET data = x'00' WHERE id = 1", "damaged"),
        ("UPDATE said SET data = NULL WHERE id = 2", "damaged"),
        ("UPDATE said SET before = 'x' WHERE id = 3", "damaged"),
        ("DELETE FROM step WHERE begin > 20 AND begin < 40", "damaged"),
        ("UPDATE step SET data = x'789c00' WHERE begin > 20", "damaged"),
        ('UPDATE step SET "end" = begin', "damaged"),
        ("UPDATE step SET t = NULL", "damaged"),
        ("UPDATE step SET level = 1000000000 + id WHERE level > 0", "damaged"),
        ("UPDATE step SET level = -1 WHERE level = 1", "damaged"),
        ("DROP TABLE step", "damaged"),
    ],
)
def test_damage_is_told(path: Path, change: str, words: str) -> None:
    database = sqlite3.connect(path)
    database.execute(change)
    database.commit()
    database.close()
    with pytest.raises(NoRecord, match=words):
        list(Reader(path).moments())


def test_any_damaged_byte_is_told_or_does_no_harm(path: Path) -> None:
    data = path.read_bytes()
    good: list[Moment] = list(Reader(path).moments())
    told = 0
    for at in range(0, len(data), 997):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            moments = list(Reader(path).moments())
        except NoRecord:
            told += 1
        else:
            assert len(moments) <= len(good)
    assert told > 5


def test_a_step_as_large_as_a_bomb_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_MAX_DATA", 100)
    with pytest.raises(NoRecord, match="too large"):
        Reader(path)


def test_a_record_in_which_nothing_happened(tmp_path: Path) -> None:
    path = write_record(tmp_path / "run.rec", [(0, Ended("duration", 0.0, 0.0))])
    reader = Reader(path)
    assert [moment.frame for moment in reader.moments(goal=S)] == [Ended("duration", 0.0, 0.0)]
    assert msgspec.to_builtins(reader.opening().facts) == msgspec.to_builtins(opening().facts)
