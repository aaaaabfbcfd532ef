"""What can go wrong, as exceptions, each with its code: of an `error` frame (`codes.py`) or of a failed answer."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from app.codes import ErrorCode

Phase = Literal["connect", "first_text", "stall", "total"]


class ServiceError(Exception):
    """The root of all coded errors. A code is part of the wire protocol: it is never renamed."""

    code: ClassVar[str] = ErrorCode.INTERNAL_ERROR


class StartError(ServiceError):
    """The service cannot start as it is set up; `setting` is the variable to look at."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")


class ClientError(ServiceError):
    """The sender's fault: answered with one `error` frame; the session goes on."""

    code: ClassVar[ErrorCode]
    retry_after_ms: int | None = None

    def __init__(self, message: str, *, details: dict[str, Any] | None = None, message_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.message_id = message_id


class InvalidJson(ClientError):
    code = ErrorCode.INVALID_JSON


class InvalidMessage(ClientError):
    code = ErrorCode.INVALID_MESSAGE


class UnsupportedType(ClientError):
    code = ErrorCode.UNSUPPORTED_TYPE


class UnknownAction(ClientError):
    code = ErrorCode.UNKNOWN_ACTION


class MessageTooLarge(ClientError):
    code = ErrorCode.MESSAGE_TOO_LARGE


class RateLimited(ClientError):
    """More than `MESSAGES_PER_SECOND`; `seconds` until the next message is taken."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, seconds: float, message_id: str | None = None) -> None:
        super().__init__("Too many messages: this one was not taken.", message_id=message_id)
        self.retry_after_ms = math.ceil(seconds * 1000)


class RagError(ServiceError):
    """The provider could not answer. Its text is for the log; the client gets `code` and a sentence.

    `retryable` says whether asking again later may help, `retry_after_ms` when, if that is known.
    """

    code = "RAG_FAILED"
    retryable: ClassVar[bool] = False
    phase: Phase | None = None
    sentence: ClassVar[str] = "The answer could not be completed."
    sentence_zh: ClassVar[str] = "未能完成回答。"

    def __init__(self, message: str = "", *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class RagNotConfigured(RagError):
    """The service has no Dify key."""

    code = "RAG_NOT_CONFIGURED"
    sentence = "This service is not connected to a knowledge base yet."
    sentence_zh = "本服务尚未连接知识库。"


class RagTimeout(RagError):
    """A deadline passed; `phase` says which one.

    `is_silent`: the reply had begun, and nothing came but signs of life. That may be this question's own fault.
    """

    code = "RAG_TIMEOUT"
    retryable = True
    sentence = "The knowledge base took too long to answer. Please ask again."
    sentence_zh = "知识库响应超时，请再问一次。"

    def __init__(self, message: str, phase: Phase, *, is_silent: bool = False) -> None:
        super().__init__(message)
        self.phase = phase
        self.is_silent = is_silent


class RagUnavailable(RagError):
    """Network trouble, a 5xx, a redirect or a proxy's page: no answer was begun."""

    code = "RAG_UNAVAILABLE"
    retryable = True
    sentence = "The knowledge base cannot be reached at the moment. Please try again later."
    sentence_zh = "暂时无法连接知识库，请稍后再试。"


class RagRateLimited(RagError):
    """The provider gets too many questions."""

    code = "RAG_RATE_LIMITED"
    retryable = True
    sentence = "The knowledge base is receiving too many questions. Please try again in a moment."
    sentence_zh = "知识库当前请求过多，请稍后再试。"


class TooManyQuestions(RagError):
    """More than `QUERIES_PER_MINUTE`, of the session or of its tenant: `retry_after_ms` says when to ask again."""

    code = "RATE_LIMITED"
    retryable = True
    sentence = "Too many questions in a short time. Please ask again in a moment."
    sentence_zh = "提问过于频繁，请稍后再问。"


class RagRejected(RagError):
    """The provider refused the question itself (a 4xx): asking again the same way will not help."""

    code = "RAG_REJECTED"
    sentence = "The knowledge base refused the question."
    sentence_zh = "知识库拒绝了这个问题。"


class RagFailed(RagError):
    """The provider accepted the question and then reported a failure, or answered with nothing."""

    code = "RAG_FAILED"
    sentence = "The knowledge base could not answer this question."
    sentence_zh = "知识库未能回答这个问题。"


class RagBrokenStream(RagError):
    """The answer broke off after it had begun: reset, cut or garbage."""

    code = "RAG_BROKEN_STREAM"
    retryable = True
    sentence = "The answer was cut off. Please ask again."
    sentence_zh = "回答中断，请再问一次。"
