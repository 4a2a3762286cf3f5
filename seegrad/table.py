"""A table that shows itself in a notebook, and prints as text. Its HTML is here; no other module knows it."""

import csv
import html
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .diagram import printable
from .saving import Shown, Writer

MOST_ROWS = 60      # that are shown; beyond it, the first and the last of them
HEIGHT = "28em"     # of a long table, which scrolls

Value = str | int | float | None


class Table(Shown):
    """Rows of names and numbers.

    title: what the table says, in a sentence.
    columns: the headers, in order; the first one is that of the names.
    rows: a dict for each row, from header to a string, a number, or None where there is nothing to say. They are plain data:
        ``[row["norm"] for row in table.rows]`` is what a plot takes.
    notes: what is to be said besides, a sentence each.
    """

    def __init__(self, title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Value]],
                 notes: Sequence[str] = ()) -> None:
        self.title, self.columns, self.notes = title, tuple(columns), tuple(notes)
        self.rows = [{column: row[column] for column in columns} for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        shown = [(self.columns, True), *self._shown()]
        widths = [max(len(row[at]) for row, whole in shown if whole) for at in range(len(self.columns))]
        lines = []
        for row, whole in shown:
            cells = [cell.rjust(width) if column in self._numbers else cell.ljust(width)
                     for cell, width, column in zip(row, widths, self.columns)]
            lines.append("  ".join(cells).rstrip() if whole else row[0])
        return "\n".join([self.title, *(lines if self.rows else ()), *self.notes])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _writers(self) -> dict[str, Writer]:
        return {".html": self._page, ".csv": self._csv}

    @property
    def _numbers(self) -> set[str]:
        """The columns of numbers."""
        return {column for column in self.columns[1:] if any(isinstance(row[column], (int, float)) for row in self.rows)}

    def _shown(self) -> Iterator[tuple[tuple[str, ...], bool]]:
        """The rows that are shown, in words, and whether it is a row; in the place of those that are not, how many they are."""
        hidden = len(self.rows) - MOST_ROWS
        for at, row in enumerate(self.rows):
            if hidden > 0 and at == MOST_ROWS // 2:
                yield (f"… {hidden} more rows: .rows has them all",), False
            if hidden <= 0 or not MOST_ROWS // 2 <= at < MOST_ROWS // 2 + hidden:
                yield tuple(map(in_words, row.values())), True

    def _html(self) -> str:
        def cell(tag: str, column: str, words: str, scope: str = "") -> str:
            align = "right" if column in self._numbers else "left"
            return f'<{tag}{scope} style="text-align: {align}">{html.escape(words)}</{tag}>'

        head = "".join(cell("th", column, column, ' scope="col"') for column in self.columns)
        body = []
        for row, whole in self._shown():
            if whole:
                first, *others = zip(self.columns, row)
                cells = cell("th", *first, ' scope="row"') + "".join(cell("td", *other) for other in others)
            else:
                cells = f'<td colspan="{len(self.columns)}" style="text-align: left">{html.escape(row[0])}</td>'
            body.append(f"<tr>{cells}</tr>")
        title = html.escape(self.title)
        notes = f"<figcaption>{'<br>'.join(map(html.escape, self.notes))}</figcaption>" if self.notes else ""
        # A box that scrolls can be reached by the keyboard only where it has a place among what Tab leads to.
        return (f'<figure style="margin: 0.5em 0"><div role="group" tabindex="0" aria-label="{title}" '
                f'style="overflow: auto; max-width: 100%; max-height: {HEIGHT}">'
                f'<table style="margin: 0; border-spacing: 0.6em 0.2em"><caption style="text-align: left">{title}</caption>'
                f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{notes}</figure>")

    def _csv(self) -> str:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(row.values() for row in self.rows)
        return lines.getvalue()


def in_words(value: Value) -> str:
    """A cell as it is shown: whole numbers with commas, others with four digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else printable(value)
