import pytest

from lakebase_api.telemetry.trace_context import TraceContext, new_id, read_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.mark.parametrize(("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_a_header_names_trace_and_parent_and_whether_they_are_recorded(flags: str, is_sampled: bool) -> None:
    assert read_traceparent(f"00-{TRACE}-{PARENT}-{flags}") == TraceContext(TRACE, PARENT, is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-0g",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}f-01",
        f"00-{TRACE}-{PARENT}-01\n",
        f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{TRACE[:-1]}１-{PARENT}-01",
    ],
)
def test_what_is_not_valid_counts_as_absent(text: str) -> None:
    assert read_traceparent(text) is None


@pytest.mark.parametrize("more", ["", "-", "-what-the-future-will-be-like"])
def test_of_a_later_version_the_part_that_is_known_is_read(more: str) -> None:
    assert read_traceparent(f"cc-{TRACE}-{PARENT}-01{more}") == TraceContext(TRACE, PARENT, True)


def test_a_new_id_is_one_of_a_trace_and_another_each_time() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(read_traceparent(f"00-{each}-{PARENT}-01") for each in ids)
