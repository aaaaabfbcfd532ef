"""Reads what a client sends, unless too much comes."""

from __future__ import annotations

from pydantic import ValidationError

from app.config import Settings
from app.errors import ClientError, InvalidJson, MessageTooLarge, RateLimited
from app.models.messages import AsrChunk, ClientMessage, Details, id_of, read, valid
from app.sessions.limits import MessageLimit, TokenBucket


class Intake:
    """Of one session. Partials are counted apart: no other message suffers for them."""

    def __init__(self, settings: Settings) -> None:
        rate = settings.messages_per_second
        self._max_bytes = settings.max_message_bytes
        self._partials, self.messages = TokenBucket(rate, burst=2 * rate), MessageLimit(rate)

    def read(self, raw: str | bytes, now: float) -> tuple[ClientMessage, Details | None]:
        """The message, and what could not be taken of it as it came. Raises `ClientError`."""
        try:
            if isinstance(raw, bytes):
                raise InvalidJson("Binary frames are not read: send JSON as text.", message_id=id_of(raw))
            limit = self._max_bytes
            # A code point has at most four bytes: few messages have to be measured.
            if len(raw) * 4 > limit and len(raw.encode()) > limit:
                text = f"A message may have {limit} bytes at most."
                raise MessageTooLarge(text, details={"limit": limit}, message_id=id_of(raw))
            try:
                message, details = valid(raw), None
            except ValidationError:
                message, details = read(raw)
        except ClientError as error:
            if wait := self.messages.take(now):
                raise RateLimited(wait, error.message_id) from error
            raise
        is_partial = type(message) is AsrChunk and not message.is_final
        if wait := (self._partials if is_partial else self.messages).take(now):
            raise RateLimited(wait, message.id)
        return message, details
