"""One final transcript in, one verdict out."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Final

from app.models.spelling import Reading
from app.models.verdicts import LANGUAGES, Verdict
from app.services.question_detector.language import choose
from app.services.question_detector.reference import follows_up, goes_on
from app.services.question_detector.rules import Finding
from app.services.question_detector.sentences import NEWEST_CHARS, Sentence, split

# The newest words decide; a longer final is judged by its end.
MAX_CHARS: Final = 2000

# A longer sentence with a question mark is taken at its mark: it is no command and no "really?".
MARKED: Final = 120

# A sentence that long is a talk without marks: it is judged by its front and by its end.
LONG: Final = 300

# A question this sure stays one when a recogniser closes it with a full stop.
PLAIN: Final = 0.95

_ASK_AT_THE_END: Final = frozenset({"zh", "ja", "ko"})
# Chinese with English in it may ask the English way: "what is 深度学习".
_ENGLISH: Final = re.compile(r"[A-Za-z']+ [A-Za-z']+")
_UNKNOWN: Final = Finding("statement", 0.5)


def judge(text: str, language: str | None = None) -> Verdict:
    """Say whether `text`, one final or two joined ones, asks something.

    `language` is a BCP 47 tag, a hint: the script of the text outweighs it. However long the text is, a bounded part of
    it is looked at: `split` says which, of the last `MAX_CHARS` characters.
    """
    reading = Reading(text[-MAX_CHARS:])
    text = reading.text[-MAX_CHARS:]  # one sign may stand for eighteen letters
    cut = len(reading.text) - len(text)
    chosen = choose(text[-NEWEST_CHARS:], language)
    sentences = split(text)
    if not sentences:
        return Verdict(False, True, 1.0, "empty", "", chosen)
    findings = [(_decide(sentence, chosen), sentence) for sentence in sentences]
    asking = [(finding, sentence) for finding, sentence in findings if finding.asks]
    if not asking:
        finding, _ = findings[-1]
        is_continuation = goes_on(sentences[0].body, chosen)
        return Verdict(False, finding.is_complete, finding.confidence, finding.reason, "", chosen, is_continuation)
    best = max((finding for finding, _ in asking), key=lambda finding: finding.confidence)
    start, end = asking[0][1].start, asking[-1][1].end
    is_complete, is_follow_up = findings[-1][0].is_complete, follows_up(text[start:end], chosen)
    question = reading.original(cut + start, cut + end)
    return Verdict(True, is_complete, best.confidence, best.reason, question, chosen, is_follow_up=is_follow_up)


def _rules(language: str) -> Callable[[str], Finding]:
    # Not all are kept: a client may name any number of languages.
    return _load(language) if language in LANGUAGES else lambda _: _UNKNOWN


@cache
def _load(language: str) -> Callable[[str], Finding]:
    """The rules of a language, compiled when it is first heard: all eight at once cost a start 140 ms."""
    decide: Callable[[str], Finding] = import_module(f"{__package__}.{LANGUAGES[language]}").decide
    return decide


def _decide(sentence: Sentence, language: str) -> Finding:
    if sentence.mark == "?" and len(sentence.body) > MARKED:
        return _with_question_mark(sentence, _UNKNOWN)
    finding = _read(sentence.body, language)
    if language == "zh" and not finding.asks and _ENGLISH.search(sentence.body):
        in_english = _read(sentence.body, "en")
        finding = in_english if in_english.asks else finding
    if sentence.mark == "?":
        return _with_question_mark(sentence, finding)
    if sentence.mark == ".":
        if finding.asks and finding.confidence < PLAIN and not _may_end_with_a_full_stop(finding, language):
            return Finding("full_stop", 0.7)
        return Finding(finding.reason, finding.confidence)
    return finding


def _may_end_with_a_full_stop(finding: Finding, language: str) -> bool:
    # Japanese closes a question with か and a full stop as a rule; other languages only a request.
    return finding.reason == "request" or (language == "ja" and finding.reason == "particle")


def _with_question_mark(sentence: Sentence, finding: Finding) -> Finding:
    if sentence.is_quoted:
        return Finding("quoted", 0.7)
    if finding.reason in {"backchannel", "command"}:
        return Finding(finding.reason, finding.confidence)
    return Finding("question_mark", 0.97)


def _read(body: str, language: str) -> Finding:
    decide = _rules(language)
    if len(body) <= LONG:
        return decide(body)
    end = decide(body[-LONG:])
    if end.asks or language in _ASK_AT_THE_END:
        return end
    front = decide(body[:LONG])
    return Finding(front.reason, front.confidence, end.is_complete) if front.asks else end
