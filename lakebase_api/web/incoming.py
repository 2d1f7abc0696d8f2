"""Finds where a request ends in the bytes that a client sent so far.

It decides when a request is whole, never what it says: gunicorn's parser reads the same bytes again, and
refuses what is malformed. https://www.rfc-editor.org/rfc/rfc9112#section-6
"""

import re

from lakebase_api.web.validation import GREATEST_BODY

# gunicorn allows 100 fields of 8 KiB each, more than is worth holding for a stranger.
GREATEST_HEAD = 64 * 1024
# What the app reads at most, and the sizes of chunks.
GREATEST_FRAMED_BODY = GREATEST_BODY + 8 * 1024

END_OF_HEAD = b"\r\n\r\n"
FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|expect):[ \t]*([^\r\n]*)", re.IGNORECASE)
CHUNK_SIZE = re.compile(rb"([0-9a-f]{1,8})[ \t]*(;.*)?", re.IGNORECASE)


class IncomingRequest:
    """One request on its way in.

    ``is_whole`` says that there is nothing more to wait for.
    ``cut`` says that the rest will not be read: it is more than anybody may send, or makes no sense.
    ``chunked`` says that the length of the body is not known before its end.
    ``awaits_continue`` says that the client sends its body once it is told "100 Continue".
    """

    __slots__ = ("_chunk", "_end", "_head", "awaits_continue", "chunked", "cut", "data", "is_whole")

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_whole = False
        self.cut = False
        self.chunked = False
        self.awaits_continue = False
        # Where the head ends, the whole ends and the next chunk begins; 0 while that is not known.
        self._head = self._end = self._chunk = 0

    def add(self, data: bytes) -> bool:
        """Take what came. Whether there is nothing more to wait for: the request is whole, or cut."""
        searched = max(0, len(self.data) - len(END_OF_HEAD))
        self.data += data
        if not self._head:
            end = self.data.find(END_OF_HEAD, searched)
            if end < 0:
                self.cut = self.is_whole = len(self.data) > GREATEST_HEAD
                return self.is_whole
            self._begin_body(end)
        if self.chunked:
            self._follow_chunks()
        if not self._end and len(self.data) - self._head > GREATEST_FRAMED_BODY:
            self.cut = True
        self.is_whole = self.cut or 0 < self._end <= len(self.data)
        return self.is_whole

    def split(self) -> "IncomingRequest":
        """What has come after the end of this request, as the beginning of the next one."""
        following = IncomingRequest()
        if not self.cut and len(self.data) > self._end:
            following.add(bytes(self.data[self._end :]))
            del self.data[self._end :]
        return following

    def _begin_body(self, end: int) -> None:
        self._head = self._end = end + len(END_OF_HEAD)
        for name, value in FRAMING.findall(self.data, 0, end):
            match name.lower():
                case b"transfer-encoding":
                    self.chunked = True
                    self._chunk, self._end = self._head, 0
                case b"content-length":
                    digits = value.strip()
                    # Python refuses to read very long numbers; the first digits are too many already.
                    length = int(digits[:20]) if digits.isdigit() else 0
                    self.cut = length > GREATEST_FRAMED_BODY
                    self._end = self._head + length
                case _:
                    self.awaits_continue = value.strip().lower() == b"100-continue"

    def _follow_chunks(self) -> None:
        while (line_end := self.data.find(b"\r\n", self._chunk)) >= 0:
            line = CHUNK_SIZE.fullmatch(self.data, self._chunk, line_end)
            if not line:
                self.cut = True
                return
            size = int(line[1], 16)
            if size == 0:
                end = self.data.find(END_OF_HEAD, line_end)
                self._end = end + len(END_OF_HEAD) if end >= 0 else 0
                return
            self._chunk = line_end + 2 + size + 2
