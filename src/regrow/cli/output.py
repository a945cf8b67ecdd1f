"""What a command prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

from regrow.core.machine import check_address_space

if TYPE_CHECKING:
    from regrow.core.progress import Progress

_ADDRESS_SPACE = 300_000_000  # bytes, for numpy and numba with what the commands need of them
# A figure, perhaps with its unit, or the dash of what was not run.
_NUMBER = re.compile(r"-|[-+]?[\d,]*\.?\d+(e[-+]?\d+)?( ?(%|s|B|[kMG]B|bytes))?")


class Output:
    """Output of one command: a JSON object for scripts, or lines and tables for people."""

    def __init__(self, json: bool, quiet: bool, stream: TextIO) -> None:
        self._json, self._quiet, self._stream = json, quiet, stream
        self.has_result = False

    @property
    def progress(self) -> Progress:
        """Where workflows report their progress: standard error, or nowhere with `--quiet`."""
        from regrow.core.progress import make_progress

        return make_progress(self._quiet)

    def result(self, value: object) -> None:
        """The result as one JSON object, printed with `--json` only; call it once."""
        if self._json:
            import json

            import msgspec

            self.has_result = True

            # Escaped, so that any encoding of standard output and any name of a file will do.
            plain = _finite(msgspec.to_builtins(value, enc_hook=str))
            self._stream.write(json.dumps(plain, separators=(",", ":")) + "\n")
            self._stream.flush()

    def line(self, text: str) -> None:
        """A line for people; silent with `--json`."""
        if not self._json:
            self._stream.write(text + "\n")
            self._stream.flush()

    def part(self, text: str) -> None:
        """A piece of a line for people, at once; silent with `--json`."""
        if not self._json:
            self._stream.write(text)
            self._stream.flush()

    def table(self, rows: Iterable[Sequence[str]], columns: Sequence[str] = (), title: str = "") -> None:
        """A table for people: columns of numbers to the right, others to the left; silent with `--json`."""
        if self._json:
            return
        from rich.console import Console
        from rich.measure import Measurement
        from rich.table import Table

        table = Table(box=None, show_header=bool(columns), header_style="none", pad_edge=False)
        cells = [list(row) for row in rows]
        for header, column in zip_longest(columns, zip_longest(*cells, fillvalue=""), fillvalue=""):
            numbers = any(column) and all(_NUMBER.fullmatch(cell) for cell in column if cell)
            table.add_column(
                str(header), justify="right" if numbers else "left", overflow="fold", no_wrap=numbers
            )
        for row in cells:
            table.add_row(*row)
        # A log has no width of its own; 80 columns would fold paths that scripts look for. No word is broken: what
        # is wider than the terminal is its to wrap, so that a hash or a path can be copied.
        console = Console(file=self._stream, width=None if self._stream.isatty() else 160, highlight=False)
        widest = Measurement.get(console, console.options.update(width=10_000), table).minimum
        console.width = max(console.width, widest)
        with console.capture() as drawn:
            console.print(table, markup=False)
        self.line("\n".join(filter(None, [title, *(line.rstrip() for line in drawn.get().splitlines())])))

    def tree(self, found: dict[str, Any]) -> None:
        """Nested mappings for people: plain values first, then a table for each mapping."""
        plain = {key: value for key, value in found.items() if not isinstance(value, dict)}
        if plain:
            self.table([(key, _text(value)) for key, value in plain.items()])
        for title, part in found.items():
            if isinstance(part, dict):
                self.line("")
                self.table([(key, _text(value)) for key, value in _flat(part)], title=title)


@contextlib.contextmanager
def command_output(json: bool, quiet: bool) -> Iterator[Output]:
    """The output of one command. With `--json`, whatever else is printed meanwhile goes to standard error."""
    if "numba" not in sys.modules:
        check_address_space("regrow", _ADDRESS_SPACE)
    output = Output(json, quiet, sys.stdout)
    with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
        try:
            yield output
        except BaseException as error:
            if output.has_result:  # one object is printed: this one, not the error's
                vars(error)["after_result"] = True
            raise


def _finite(value: Any) -> Any:
    """The value with null for NaN and the infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(part: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in part.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return rows


def _text(value: object) -> str:
    # Grouped digits are for counts; a seed of many digits, a float or a flag is shown as it is.
    countable = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15
    return f"{value:,}" if countable else str(value)


def bits(value: Any) -> str:
    """Bits per byte with four decimals, or a dash for what was not run."""
    return "-" if value is None else f"{value:.4f}"
