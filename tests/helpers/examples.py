"""How many examples a property test draws: few in each run of the suite, all of them in `make test-slow`."""

from typing import Any

from hypothesis import settings


def examples(most: int, **others: Any) -> settings:
    """Settings for a test that draws `most` examples with the profile "full" and a quarter of them with "fast".

    `others` are further settings, such as `suppress_health_check`. See tests/conftest.py for the profiles.
    """
    return settings(max_examples=max(1, most * settings().max_examples // 100), **others)
