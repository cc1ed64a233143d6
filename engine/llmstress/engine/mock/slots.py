"""Who is answered now and who waits: as many at a time as there are slots, then in the order of arrival."""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Slots(Generic[T]):
    """`number` slots, 0 for as many as are wanted."""

    __slots__ = ("_number", "_taken", "_waiting")

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken = 0
        # who gives up is taken out of the middle, at the price of a dictionary access
        self._waiting: OrderedDict[T, None] = OrderedDict()

    def enter(self, item: T) -> bool:
        """Whether `item` has a slot; if not it stands in line."""
        if self._number and self._taken == self._number:
            self._waiting[item] = None
            return False
        self._taken += 1
        return True

    def leave(self, item: T) -> T | None:
        """`item` needs nothing any more; gives who has its slot now, if anybody has."""
        if item in self._waiting:
            del self._waiting[item]
            return None
        if self._waiting:
            return self._waiting.popitem(last=False)[0]
        self._taken -= 1
        return None
