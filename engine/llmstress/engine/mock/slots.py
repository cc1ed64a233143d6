"""A limited number of answers at a time; the others wait in the order of arrival."""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Slots(Generic[T]):
    """`number` slots; 0: no limit."""

    __slots__ = ("_number", "_taken", "_waiting")

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken = 0
        # a dictionary, because a client that gives up is removed from the middle
        self._waiting: OrderedDict[T, None] = OrderedDict()

    def enter(self, item: T) -> bool:
        """Give `item` a slot, or let it wait; returns whether it has a slot."""
        if self._number and self._taken == self._number:
            self._waiting[item] = None
            return False
        self._taken += 1
        return True

    def leave(self, item: T) -> T | None:
        """Remove `item`; returns the item that gets its slot, if any."""
        if item in self._waiting:
            del self._waiting[item]
            return None
        if self._waiting:
            return self._waiting.popitem(last=False)[0]
        self._taken -= 1
        return None
