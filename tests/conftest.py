"""What holds for the whole suite."""

import gc


def pytest_collection_finish() -> None:
    """Spare collections the 380,000 objects that stand for the tests: each took 0.24 s, a quarter of the suite."""
    gc.collect()
    gc.freeze()
