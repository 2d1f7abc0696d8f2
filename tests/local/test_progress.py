"""What a load shows while it goes on."""

import io

from lakebase_api.local.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_rewrites_itself() -> None:
    terminal = Terminal()
    progress = Progress(1000, terminal)
    for rows in (10, 20, 1000):
        progress(rows)
    assert terminal.getvalue() == (
        "\rLoading TPC-H orders: 10 of 1,000 (1 %)\rLoading TPC-H orders: 1,000 of 1,000 (100 %)\n"
    )


def test_a_file_gets_a_line_for_each_quarter() -> None:
    file = io.StringIO()
    progress = Progress(1000, file)
    for rows in range(0, 1001, 10):
        progress(rows)
    assert [line.split()[3] for line in file.getvalue().splitlines()] == ["250", "500", "750", "1,000"]
