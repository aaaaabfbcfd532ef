"""One final transcript in, one verdict out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Final

from app.models.spelling import Reading
from app.models.verdicts import LANGUAGES, Verdict
from app.services.question_detector.language import choose
from app.services.question_detector.reference import follows_up, goes_on, is_elliptic, is_small, joints, leans_on
from app.services.question_detector.rules import IDIOM, Finding
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
# What has English in it may ask the English way: "what is 深度学习".
_WITH_ENGLISH: Final = frozenset({"zh", "ru", "hi", "ar"})
_ENGLISH: Final = re.compile(r"(?<![A-Za-z'])[A-Za-z']+ [A-Za-z']")
# The rule of what asks by its mark alone: "any new ones?".
BY_MARK: Final = "question mark"

# So many sentences at the end are looked at for two questions in one.
JOINED: Final = 2

# Forms of a question that one half of a sentence may have by itself.
_FORMS: Final = frozenset({"wh_front", "wh_word", "inversion", "particle", "a_not_a"})
_Found = tuple[Finding, Sentence]
_Question = tuple[Finding, int, int]
_UNKNOWN: Final = Finding("statement", 0.5)


def judge(text: str, language: str | None = None) -> Verdict:
    """Say whether `text`, one final or two joined ones, asks something.

    `language` is a BCP 47 tag, a hint: the script of the text outweighs it. However long the text is, a bounded part of
    it is looked at: `split` says which, of the last `MAX_CHARS` characters.
    """
    reading = Reading(text, MAX_CHARS)
    text = reading.text
    chosen = choose(text[-NEWEST_CHARS:], language)
    sentences = split(text)
    if not sentences:
        return Verdict(False, True, 1.0, "empty", "", chosen)
    findings = _decide_each(sentences, chosen)
    asking = [found for found in findings if found[0].asks]
    if not asking:
        finding, _ = findings[-1]
        is_continuation = goes_on(sentences[0].body, chosen)
        told = (False, finding.is_complete, finding.confidence, finding.reason, "", chosen)
        is_phrase = len(sentences) == 1 and is_elliptic(sentences[0].body, chosen)
        return Verdict(*told, is_continuation, is_phrase, finding.rule)
    is_complete = _is_complete(findings, asking[-1], chosen)
    verdicts = [
        Verdict(
            True,
            is_complete,
            finding.confidence,
            finding.reason,
            reading.original(start, end),
            chosen,
            is_follow_up=follows_up(text[start:end], chosen),
            rule=finding.rule,
        )
        for finding, start, end in _apart(asking, text, chosen)
    ]
    return replace(verdicts[0], others=tuple(verdicts[1:])) if len(verdicts) > 1 else verdicts[0]


def _decide_each(sentences: list[Sentence], language: str) -> list[_Found]:
    findings: list[_Found] = []
    decided: dict[tuple[str, str, bool], Finding] = {}  # some recognisers say one sentence again and again
    for sentence in sentences:
        said = sentence[2:]
        if (finding := decided.get(said)) is None:
            finding = decided[said] = _decide(sentence, language)
        findings.append((finding, sentence))
    return findings


def _is_complete(findings: list[_Found], last: _Found, language: str) -> bool:
    """Whether what asks is, up to the `last` that does: what is behind it matters only if it goes on with it."""
    if last is not findings[-1] and goes_on(findings[findings.index(last) + 1][1].body, language):
        last = findings[-1]
    return last[0].is_complete


def _apart(asking: list[_Found], text: str, language: str) -> list[_Question]:
    """The questions of a text; one that leans on the one before it is a part of that."""
    found: list[_Question] = []
    for left, (sentence_finding, sentence) in enumerate(asking, -len(asking)):
        parts = [(sentence_finding, sentence.start, sentence.end)]
        if left >= -JOINED:
            parts = _at_joints(sentence_finding, sentence, language)
        for finding, start, end in parts:
            if found and (
                not found[-1][0].is_complete
                or is_small(text[found[-1][1] : found[-1][2]], language, by_mark=found[-1][0].rule == BY_MARK)
                or finding.rule == BY_MARK
                or is_small(text[start:end], language)
                or leans_on(text[start:end], language, is_request=finding.reason == "request")
            ):
                before, begin, _ = found[-1]
                found[-1] = (max(before, finding, key=lambda each: each.confidence), begin, end)
            else:
                found.append((finding, start, end))
    return found


def _at_joints(finding: Finding, sentence: Sentence, language: str) -> list[_Question]:
    """The same for one sentence: "what are your opening hours and how much is a ticket"."""
    body, begin = sentence.body, 0
    if len(body) > LONG:
        return [(finding, sentence.start, sentence.end)]
    questions: list[_Question] = []
    for start, end in joints(body, language):
        one, two = body[begin:start], body[end:]
        if is_small(one, language) or is_small(two, language) or leans_on(two, language):
            continue
        first = _read(one, language)
        is_request = first.reason == "request" and language != "zh"  # where all that is wanted follows the request
        if not first.is_complete or not (first.reason in _FORMS or is_request):
            continue
        second = _read(two, language)
        if second.reason in _FORMS:
            questions.append((first, sentence.start + begin, sentence.start + start))
            begin, finding = end, second
    return [*questions, (finding, sentence.start + begin, sentence.end)]


def _rules(language: str) -> Callable[[str], Finding]:
    # Not all are kept: a client may name any number of languages.
    return _load(language) if language in LANGUAGES else lambda _: _UNKNOWN


@cache
def _load(language: str) -> Callable[[str], Finding]:
    """The rules of a language, compiled when it is first heard: all at once cost a start 200 ms."""
    decide: Callable[[str], Finding] = import_module(f"{__package__}.{LANGUAGES[language]}").decide
    return decide


def _decide(sentence: Sentence, language: str) -> Finding:
    if sentence.mark == "?" and len(sentence.body) > MARKED:
        return _with_question_mark(sentence, _UNKNOWN)
    finding = _read(sentence.body, language)
    if sentence.mark == "?":
        return _with_question_mark(sentence, finding)
    if language in _WITH_ENGLISH and not finding.asks and _ENGLISH.search(sentence.body):
        in_english = _read(sentence.body, "en")
        finding = in_english if in_english.asks else finding
    if sentence.mark == ".":
        if finding.asks and finding.confidence < PLAIN and not _may_end_with_a_full_stop(finding, language):
            return Finding("full_stop", 0.7, rule=finding.rule)
        return Finding(finding.reason, finding.confidence, rule=finding.rule)
    return finding


def _may_end_with_a_full_stop(finding: Finding, language: str) -> bool:
    # Japanese closes every question with a full stop as a rule; other languages only a request.
    return finding.reason == "request" or (language == "ja" and finding.reason in {"particle", "wh_word"})


def _with_question_mark(sentence: Sentence, finding: Finding) -> Finding:
    if sentence.is_quoted:
        return Finding("quoted", 0.7, rule="quoted")
    if finding.reason in {"backchannel", "command"} or finding.rule == IDIOM:
        return Finding(finding.reason, finding.confidence, rule=finding.rule)
    return Finding("question_mark", 0.97, rule=finding.rule if finding.asks else BY_MARK)


def _read(body: str, language: str) -> Finding:
    decide = _rules(language)
    if len(body) <= LONG:
        return decide(body)
    end = decide(body[-LONG:])
    if end.asks or language in _ASK_AT_THE_END:
        return end
    front = decide(body[:LONG])
    return Finding(front.reason, front.confidence, end.is_complete, front.rule) if front.asks else end
