"""What a local run tells the person who started it when it cannot go on."""


class LocalFailure(Exception):
    """One line: what is wrong, and what to do about it."""
