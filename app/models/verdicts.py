"""What is said of a text that may ask something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

Asking = Literal[
    "question_mark",  # the recogniser or the writer put one
    "wh_front",  # "what is ...", "wie spät ist es"
    "wh_word",  # a question word where it stands in a statement: "你找谁", "지금 어디 가"
    "inversion",  # "do you ...", "have they ...", "können Sie ..."
    "request",  # "tell me about ...", "帮我查一下 ..."
    "tag",  # "..., isn't it", "..., oder"
    "particle",  # 吗, か, 니까, "est-ce que"
    "a_not_a",  # 是不是, 有没有, 好不好
    "alternative",  # "... or not", 还是
    "declarative",  # a statement's word order, and still asking: "you mean the old one"
]
Telling = Literal[
    "statement",
    "full_stop",  # words that would ask, but the text says that the sentence ended
    "embedded",  # "i know why"
    "relative",  # "which is fine", "what i want is ..."
    "exclamation",  # "what a day"
    "backchannel",  # "really", "oh is that right"
    "command",  # "turn off the lamp", "can you turn off the lamp"
    "quoted",  # he said "where are you?"
    "empty",  # no letter and no digit
]
Reason = Literal[Asking, Telling]

ASKING: Final[frozenset[str]] = frozenset(get_args(Asking))
REASONS: Final[frozenset[str]] = ASKING | frozenset(get_args(Telling))

# In which questions are noticed: the primary subtag of BCP 47, and the module of its rules.
LANGUAGES: Final = {
    "en": "english",
    "zh": "chinese",
    "ja": "japanese",
    "ko": "korean",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "ru": "russian",
    "tr": "turkish",
    "id": "indonesian",
    "vi": "vietnamese",
    "hi": "hindi",
    "ar": "arabic",
}


# How sure it is that a phrase asks right after an answer.
ELLIPTIC: Final = 0.6


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `question` is the part of the text that asks, else empty.

    `confidence` is how sure `is_question` is, 0 to 1.

    `is_complete` is false while the words cannot be all: "what is the", "能不能帮我". `is_continuation`: they cannot be
    the beginning: "of the red one". `is_follow_up`: they mean nothing without what was said before: "and in winter?";
    what is no question then asks right after an answer: "and in winter".
    `rule`: the name of the rule that decided. `others`: the further questions of the same text, which do not lean on
    this one.
    """

    is_question: bool
    is_complete: bool
    confidence: float
    reason: Reason
    question: str
    language: str
    is_continuation: bool = False
    is_follow_up: bool = False
    rule: str = ""
    others: tuple[Verdict, ...] = ()

    def asked_after_an_answer(self, text: str) -> Verdict:
        """The same of a text that asks for what went before it."""
        return replace(self, is_question=True, reason="declarative", confidence=ELLIPTIC, question=text)

    @property
    def each(self) -> tuple[Verdict, ...]:
        """One verdict for each question of the text."""
        return (self, *self.others)
