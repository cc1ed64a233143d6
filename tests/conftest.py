"""What holds for the whole suite."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Property tests draw a quarter of their examples in `make test`, other ones each time, and all in `make test-slow`.
# Limits of their time would fail them on a busy machine.
for _profile, _examples in (("full", 100), ("fast", 25)):
    settings.register_profile(
        _profile, max_examples=_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("fast")


def pytest_sessionstart() -> None:
    """Collecting leaves hardly any garbage: without collections it takes a tenth less."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spare collections the 380,000 objects that stand for the tests: each took 0.24 s, a quarter of the suite."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs keep their last summaries and indexes in directories of the suite, not in the user's, and get no flags of
    the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in [name for name in os.environ if name.startswith("LLMSTRESS_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place of its own, with a short path, for the directories of the runs of a test."""
    with tempfile.TemporaryDirectory(prefix="ls-") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield Path(name)
