"""Why somebody is not let in."""


class Unauthenticated(Exception):
    """It is not known who calls.

    ``says`` why, for the caller to read: ASCII without quotes, and nothing of what was sent.
    ``was_tried``: a key or token was sent, and is not accepted.
    """

    def __init__(self, says: str, *, was_tried: bool = False) -> None:
        super().__init__(says)
        self.says = says
        self.was_tried = was_tried


class CannotTell(Exception):
    """What a key or token is checked with cannot be had for now. ``says`` what, for the caller to read."""

    def __init__(self, says: str) -> None:
        super().__init__(says)
        self.says = says
