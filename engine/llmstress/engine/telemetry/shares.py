"""How streams, requests and users are divided among the processes of a run: by turns. A pure function."""


def share(total: int, parts: int, index: int) -> int:
    """How many of `total` things are those of part `index` (0-based) of `parts`: thing k (from 0) is one of part
    k modulo `parts`.

    The shares sum to the total, and the first parts have what is left over. So if each part numbers its own things
    index, index + parts, index + 2 * parts, ..., the numbers of all parts together have no gap.
    """
    return max(0, -(-(total - index) // parts))
