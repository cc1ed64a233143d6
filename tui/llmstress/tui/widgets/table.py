"""A table whose cells are updated in place, so that unchanged cells are not drawn again."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.text import Text
from textual.widgets import DataTable


class Cell(NamedTuple):
    """The contents of a cell. The text is not parsed as markup. `tone`: a colour of the theme; `style`: the rest."""

    text: str
    style: str = ""
    tone: str = ""


class TableColumn(NamedTuple):
    """A column of fixed width, aligned to the right unless `left`."""

    label: str
    width: int
    left: bool = False


class RowTable(DataTable[Text]):
    """Rows by key, in a given order; the selection follows its row."""

    def __init__(self, columns: Sequence[TableColumn], *, id: str | None = None) -> None:
        super().__init__(cursor_type="row", id=id, cell_padding=1)
        self._columns = columns
        self._cells: dict[str, list[Cell]] = {}
        self._again: str | None = None
        """Key of the row that was selected before the columns changed."""

    def on_mount(self) -> None:
        """Add the columns, and follow changes of the theme."""
        self._add_columns()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._recolour())

    def set_columns(self, columns: Sequence[TableColumn]) -> None:
        """Change the columns, except the first. If they differ, the table is empty until the next `show`."""
        if tuple(columns) != tuple(self._columns):
            self._columns = columns
            self._again = self.selected
            self._cells.clear()
            self.clear(columns=True)
            self._add_columns()

    def _add_columns(self) -> None:
        for column in self._columns:
            label = Text(column.label, justify="left" if column.left else "right")
            self.add_column(label, width=column.width, key=column.label)

    @property
    def selected(self) -> str | None:
        """Key of the selected row; None: the table is empty."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def show(self, rows: Mapping[str, Sequence[Cell]]) -> None:
        """Show these rows in this order."""
        selected = self.selected
        again, self._again = self._again, None
        for key in [key for key in self._cells if key not in rows]:
            self.remove_row(key)
            del self._cells[key]
        for key, cells in rows.items():
            before = self._cells.get(key)
            if before is None:
                self.add_row(*self._made(cells), key=key)
            else:
                for column, cell, old in zip(self._columns, cells, before, strict=True):
                    if cell != old:
                        self.update_cell(key, column.label, self._text(cell, column))
            self._cells[key] = list(cells)
        order = list(rows)
        if [row.key.value for row in self.ordered_rows] != order:
            first = self._columns[0].label
            rank = {id(self.get_cell(key, first)): index for index, key in enumerate(order)}  # texts may be equal
            self.sort(first, key=lambda text: rank[id(text)])
            if selected is not None and selected in rows:
                self.move_cursor(row=order.index(selected), animate=False, scroll=False)
        if again is not None and again in rows:
            self.move_cursor(row=order.index(again), animate=False, scroll=False)

    def _recolour(self) -> None:
        for key, cells in self._cells.items():
            for column, cell in zip(self._columns, cells, strict=True):
                if cell.tone:
                    self.update_cell(key, column.label, self._text(cell, column))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the keys for scrolling while there is nothing to scroll, so that others can use them."""
        if action in ("cursor_left", "cursor_right"):
            return self.max_scroll_x > 0
        if action == "scroll_home":
            return self.max_scroll_y > 0
        return True

    def _made(self, cells: Sequence[Cell]) -> list[Text]:
        return [self._text(cell, column) for column, cell in zip(self._columns, cells, strict=True)]

    def _text(self, cell: Cell, column: TableColumn) -> Text:
        colour = self.app.theme_variables.get(cell.tone, "") if cell.tone else ""
        return Text(
            cell.text,
            style=f"{cell.style} {colour}".strip(),
            justify="left" if column.left else "right",
            overflow="ellipsis",
            no_wrap=True,
        )
