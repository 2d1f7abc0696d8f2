import pytest

from lakebase_api.web.incoming import GREATEST_FRAMED_BODY, GREATEST_HEAD, IncomingRequest

WHOLE = {
    "no body": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no fields": b"GET / HTTP/1.1\r\n\r\n",
    "an empty line before": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a body": b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "a length in odd spelling": b"POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:\t5 \r\nA: b\r\n\r\nhello",
    "an empty body": b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\nA;x=y\r\n0123\r\n\r\n89\r\n0\r\n\r\n",
    "trailers": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
def test_a_request_is_whole_at_its_last_byte_however_it_comes(request_bytes: bytes) -> None:
    at_once = IncomingRequest()
    assert at_once.add(request_bytes)
    byte_by_byte = IncomingRequest()
    ends = [byte_by_byte.add(bytes([byte])) for byte in request_bytes]
    assert ends == [False] * (len(request_bytes) - 1) + [True]
    assert at_once.data == byte_by_byte.data == request_bytes
    assert not at_once.cut
    assert not byte_by_byte.cut


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
def test_what_follows_a_whole_request_does_not_matter(request_bytes: bytes) -> None:
    assert IncomingRequest().add(request_bytes + b"GET / HTT")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"x" * (GREATEST_HEAD + 1),
        b"GET / HTTP/1.1\r\nA: " + b"x" * GREATEST_HEAD,
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (GREATEST_FRAMED_BODY + 1),
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n" + b"x" * GREATEST_FRAMED_BODY,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * GREATEST_FRAMED_BODY + b"1",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1" + b"\r\nx\r\n1" * GREATEST_FRAMED_BODY,
    ],
    ids=["no line", "head", "length", "digits", "chunk", "size of a chunk", "many chunks"],
)
def test_what_is_too_long_is_cut_and_not_waited_for(request_bytes: bytes) -> None:
    incoming = IncomingRequest()
    assert incoming.add(request_bytes)
    assert incoming.cut


@pytest.mark.parametrize("size", [b"", b"-1", b"+1", b"0x1", b"1_0", b"g", b"1" * 9, b" 1", b"\xb2"])
def test_a_chunk_of_no_sensible_size_is_cut(size: bytes) -> None:
    incoming = IncomingRequest()
    assert incoming.add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
    assert incoming.cut


@pytest.mark.parametrize("length", [b"five", b"-5", b"+5", b"", b"1 2", b"\xb2"])
def test_a_length_that_is_no_number_is_left_to_the_parser_to_refuse(length: bytes) -> None:
    assert IncomingRequest().add(b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n")


def test_a_client_that_awaits_a_word_is_noticed() -> None:
    incoming = IncomingRequest()
    assert not incoming.add(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
    assert incoming.awaits_continue
    assert incoming.add(b"hello")


@pytest.mark.parametrize("request_bytes", WHOLE.values(), ids=WHOLE)
def test_what_follows_a_whole_request_begins_the_next(request_bytes: bytes) -> None:
    incoming = IncomingRequest()
    incoming.add(request_bytes + WHOLE["a body"][:-1])
    following = incoming.split()
    assert incoming.data == request_bytes
    assert not following.is_whole
    assert following.add(WHOLE["a body"][-1:])
    assert following.data == WHOLE["a body"]
