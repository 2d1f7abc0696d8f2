"""How far a load is: one line that rewrites itself on a terminal, a line for each quarter elsewhere."""

import time
from typing import TextIO

INTERVAL = 0.1  # seconds between two writes on a terminal
QUARTERS = 4


class Progress:
    """A callable for tpch.load_orders: shows the rows so far of those expected."""

    def __init__(self, expected: int, output: TextIO) -> None:
        """`expected` is the number of rows that make the whole."""
        self._expected = expected
        self._output = output
        self._rewrites = output.isatty()
        self._next_write = 0.0
        self._quarter = 0

    def __call__(self, rows: int) -> None:
        """Show the number of rows, unless too little has changed."""
        if self._rewrites:
            if time.monotonic() >= self._next_write or rows >= self._expected:
                self._next_write = time.monotonic() + INTERVAL
                self._write(rows, "\r", "\n" if rows >= self._expected else "")
        elif rows * QUARTERS // self._expected > self._quarter:
            self._quarter = rows * QUARTERS // self._expected
            self._write(rows, "", "\n")

    def _write(self, rows: int, before: str, after: str) -> None:
        share = 100 * rows // self._expected
        self._output.write(f"{before}Loading TPC-H orders: {rows:,} of {self._expected:,} ({share} %){after}")
        self._output.flush()
