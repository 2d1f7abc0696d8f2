"""The token that logs in to the database: minted when needed, shared by all who connect."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lakebase_api.lakebase.meter import NO_METER, Meter
from lakebase_api.redaction import redact

logger = logging.getLogger(__name__)

# A login takes part of a second: a token with less left than this may be refused half way.
SHORTEST_USEFUL_LIFE = 1.0
# The last of a token's life is kept for retries: a quarter of it, at most five minutes.
LONGEST_RESERVE = 300.0
# Refreshing up to this part earlier keeps workers from asking all at the same moment.
JITTER = 0.1
# However many connections wait for a token, after a failure the workspace is not asked more often: from the
# beginning of one mint to that of the next, since one that took long to fail has kept them waiting already.
PAUSE_AFTER_FAILURE = 2.0


class CredentialError(Exception):
    """No credential could be had; the text says why and holds no secret."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


@dataclass(frozen=True)
class Credential:
    """A token that can log in until ``expires_at``, a time of ``time.monotonic()`` in seconds."""

    token: str = field(repr=False)
    expires_at: float
    refresh_at: float

    @classmethod
    def living(cls, token: str, life: float, *, refresh_interval: float, now: float) -> "Credential":
        """A token that has ``life`` seconds from ``now`` on.

        It is due for refresh after ``refresh_interval`` seconds or when a quarter of its life, but at
        most five minutes of it, is left: whichever is sooner. Jitter only makes that earlier.
        """
        due = min(refresh_interval, life - min(life / 4, LONGEST_RESERVE))
        return cls(token, now + life, now + due * (1 - JITTER * random.random()))

    def is_live(self) -> bool:
        """Whether a login started now may use it."""
        return self.expires_at - time.monotonic() >= SHORTEST_USEFUL_LIFE


@dataclass(frozen=True)
class TokenTimes:
    """Seconds since a token was made, and until it expires."""

    age: float
    left: float


class CredentialHolder:
    """The one current credential. All methods may be called from any thread.

    ``mint`` gets a new credential, within a bounded time, or raises ``CredentialError``. ``meter`` is told of
    each try.
    """

    def __init__(self, mint: Callable[[], Credential], meter: Meter = NO_METER) -> None:
        self._mint = mint
        self._meter = meter
        self._minting = threading.Lock()
        self._attempts = 0
        self._current: Credential | None = None
        self._failed_at = self._minted_at = float("-inf")
        self.error: CredentialError | None = None
        self.minted = 0

    def find_times(self) -> "TokenTimes | None":
        """The times of the current credential; ``None`` without one."""
        credential, now = self._current, time.monotonic()
        return TokenTimes(now - self._minted_at, credential.expires_at - now) if credential else None

    @property
    def current(self) -> Credential | None:
        """The newest credential, live or not; ``None`` before the first."""
        return self._current

    def token(self) -> str:
        """A token for a login that starts now, minted here if none is live.

        Raises ``CredentialError``.
        """
        credential = self._current
        if credential is None or not credential.is_live():
            if self.error and time.monotonic() - self._failed_at < PAUSE_AFTER_FAILURE:
                raise CredentialError(str(self.error))
            credential = self.refresh()
        return credential.token

    def reject(self, token: str) -> None:
        """The database refused this token: mint another before the next login, if it is the current one.

        A token that is itself fresh counts as a failure, and the next one has to wait.
        """
        credential = self._current
        if credential is None or credential.token != token:
            return
        self._current = None
        if self._minted_at + PAUSE_AFTER_FAILURE > time.monotonic():
            self.error = CredentialError("the database refused a fresh token")
            self._failed_at = self._minted_at

    def refresh(self) -> Credential:
        """Mint a credential and make it the current one.

        One mint at a time: who asks while one is under way waits for it and shares its outcome.
        The old credential stays in use when it fails. Raises ``CredentialError``.
        """
        attempts = self._attempts
        with self._minting:
            if self._attempts == attempts:
                self._attempt()
            if self.error or self._current is None:
                raise CredentialError(str(self.error or "the last mint failed"))
            return self._current

    def _attempt(self) -> None:
        logger.info("Background token refresh: Generating fresh PostgreSQL OAuth token")
        began = time.monotonic()
        try:
            self._current = self._mint()
        except CredentialError as error:
            self.error, self._failed_at = error, began
            self._meter.note_refresh(succeeded=False)
        else:
            self.error = None
            self._meter.note_refresh(succeeded=True)
            self._minted_at = time.monotonic()
            self.minted += 1
            logger.info("Background token refresh: Token updated successfully")
        finally:
            self._attempts += 1
