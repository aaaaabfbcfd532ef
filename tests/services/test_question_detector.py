"""The detector in tables: plain cases, endings, languages, and gold sentences that stay right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.verdicts import ASKING, REASONS, Verdict
from app.services.question_detector import judge
from app.services.question_detector.judge import LONG, MARKED, MAX_CHARS
from app.services.question_detector.sentences import EARLIER, NEWEST, NEWEST_CHARS, split

GOLD = Path(__file__).parent / "gold"
# Gold sentences that are judged wrong, by language. Rows may leave this list, none may enter it.
KNOWN_MISSES: dict[str, set[str]] = {}

GoldRow = tuple[str, str, str, str]


def gold_rows() -> list[GoldRow]:
    """Language, label, family and text of every gold sentence."""
    rows = []
    for path in sorted(GOLD.glob("*.tsv")):
        for line in path.read_text("utf-8").splitlines():
            label, family, text = line.split("\t")
            rows.append((path.stem, label, family, text))
    return rows


@pytest.mark.parametrize("language", ["en", "zh", "ja", "ko", "es", "fr", "de", "it"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "guessed"])
def test_no_gold_sentence_is_judged_wrong(language: str, told: bool) -> None:
    wrong = set()
    for row_language, label, _family, text in gold_rows():
        if row_language == language:
            verdict = judge(text, language if told else None)
            if verdict.is_question != (label == "1"):
                wrong.add(text)
    assert wrong <= KNOWN_MISSES.get(language, set())


def test_gold_sentences_are_judged_incomplete_exactly_when_they_are() -> None:
    wrong = [
        text
        for language, _label, family, text in gold_rows()
        if judge(text, language).is_complete == (family == "incomplete")
    ]
    assert wrong == []


def test_every_language_is_guessed_from_its_gold_sentences() -> None:
    wrong = [
        text for language, _label, family, text in gold_rows() if family != "mixed" and judge(text).language != language
    ]
    assert wrong == []


def test_the_gold_holds_enough_sentences() -> None:
    rows = gold_rows()
    counts = {language: sum(row[0] == language for row in rows) for language in {row[0] for row in rows}}
    assert len({(language, text) for language, _, _, text in rows}) == len(rows)
    assert counts.pop("en") >= 300
    assert counts.pop("zh") >= 300
    assert len(counts) == 6
    assert min(counts.values()) >= 60


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("You moved?", "question_mark"),
        ("what is a vector", "wh_front"),
        ("do you have a map", "inversion"),
        ("tell me about the castle", "request"),
        ("it's cold isn't it", "tag"),
        ("you mean the old one", "declarative"),
        ("the key was there wasn't it i mean on the shelf", "tag"),
        ("the meeting is at nine do you know where it is", "inversion"),
        ("jane what is the status", "inversion"),
        ("i like it", "statement"),
        ("Does the shop close early.", "full_stop"),
        ("which is fine", "relative"),
        ("what a day", "exclamation"),
        ("oh really", "backchannel"),
        ("can you turn off the lamp", "command"),
        ('She asked "where is it?"', "quoted"),
        ("...", "empty"),
        ("", "empty"),
    ],
)
def test_english_reasons(text: str, reason: str) -> None:
    verdict = judge(text, "en")
    assert verdict.reason == reason
    assert verdict.is_question == (reason in ASKING)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("你是本地人吗", "particle"),
        ("你是不是换号码了", "a_not_a"),
        ("谁负责这个项目", "wh_word"),
        ("帮我查一下天气", "request"),
        ("你认识他是吧", "tag"),
        ("你喝茶还是咖啡", "alternative"),
        ("我知道为什么", "embedded"),
        ("我先走了", "statement"),
        ("帮我开灯", "command"),
        ("真的吗", "backchannel"),
    ],
)
def test_chinese_reasons(text: str, reason: str) -> None:
    assert judge(text, "zh").reason == reason


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("合ってる", "ja", "tag"),
        ("東京の人口は", "ja", "declarative"),
        ("何を食べる", "ja", "wh_word"),
        ("電気を消してくれる", "ja", "command"),
        ("내일 쉬는 거 그치", "ko", "tag"),
        ("내일 서울 날씨는", "ko", "declarative"),
        ("es frío verdad", "es", "tag"),
        ("y el lunes", "es", "declarative"),
        ("en la reunión de mañana cuántas personas hay", "es", "wh_word"),
        ("mais avant de partir voulez vous un café", "fr", "inversion"),
        ("ça vous intéresse", "fr", "declarative"),
        ("una persona adulta quante proteine deve assumere", "it", "wh_word"),
        ("e la carne", "it", "declarative"),
        ("ich komme gern was kann man da machen", "de", "inversion"),
        ("ich sag mal nicht was kann man da machen", "de", "statement"),
        ("il dit voulez vous un café", "fr", "statement"),
    ],
)
def test_reasons_in_other_languages(text: str, language: str, reason: str) -> None:
    assert judge(text, language).reason == reason


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("I lost my card. What should I do?", "What should I do?"),
        ("Is it ready? I can come at noon.", "Is it ready?"),
        ("What is it? Where is it? Fine.", "What is it? Where is it?"),
        ("It costs 3.5 dollars. Is that much?", "Is that much?"),
        ("I met Dr. Smith. Do you know him?", "Do you know him?"),
        ("我的包丢了。怎么办？", "怎么办？"),
        ("  what is that  ", "what is that"),
        ("I went home.", ""),
    ],
)
def test_the_question_is_cut_out_of_the_text(text: str, question: str) -> None:
    assert judge(text).question == question


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("what is the", "en"),
        ("can you tell me", "en"),
        ("how do i", "en"),
        ("can you explain the difference between", "en"),
        ("能不能帮我", "zh"),
        ("東京から大阪まで何時間ぐらいで", "ja"),
        ("혹시", "ko"),
        ("me puede decir", "es"),
        ("quel est", "fr"),
        ("können sie mir", "de"),
        ("mi può dire", "it"),
    ],
)
def test_a_question_that_must_go_on_is_incomplete_and_less_sure(text: str, language: str) -> None:
    verdict = judge(text, language)
    assert not verdict.is_complete
    assert verdict.confidence < 0.7


@pytest.mark.parametrize(
    "text",
    [
        "what is it",
        "where are you from",
        "what is it for",
        "who is that",
        "is that what you want to do",
        "what is the?",
    ],
)
def test_a_question_that_may_end_there_is_complete(text: str) -> None:
    assert judge(text, "en").is_complete


@pytest.mark.parametrize(
    ("text", "hint", "language"),
    [
        ("这个 API 怎么用", "en-US", "zh"),
        ("你好", "zh-Hant-TW", "zh"),
        ("點解", "yue-HK", "zh"),
        ("東京", "ja-JP", "ja"),
        ("東京タワー", None, "ja"),
        ("秋刀魚の味", "zh", "zh"),
        ("東京", "ko", "zh"),
        ("hello", "zh-CN", "en"),
        ("hello there", "DE_de", "de"),
        ("wo ist der bahnhof", None, "de"),
        ("¿vienes?", None, "es"),
        ("qu'avez-vous dit", None, "fr"),
        ("где вокзал", "ru", "ru"),
        ("где вокзал", None, "und"),
        ("где вокзал", "zh", "und"),
        ("onde fica a praia", "pt-BR", "pt"),
        ("hello", "x-private", "en"),
        ("", "", "en"),
    ],
)
def test_script_and_words_tell_the_language(text: str, hint: str | None, language: str) -> None:
    assert judge(text, hint).language == language


def test_a_language_without_rules_is_read_by_its_marks() -> None:
    assert judge("Где вокзал?", "ru").is_question
    assert not judge("Это вокзал.", "ru").is_question
    assert not judge("где вокзал", "ru").is_question


def test_traditional_characters_are_judged_like_simplified_ones() -> None:
    traditional, simplified = judge("這個東西怎麼用"), judge("这个东西怎么用")
    assert traditional == Verdict(True, True, simplified.confidence, "wh_word", "這個東西怎麼用", "zh")


def test_a_full_stop_leaves_a_plain_question_and_a_request_standing() -> None:
    assert judge("Where is the station.").is_question
    assert judge("Please explain the deposit.").is_question
    assert not judge("Does a good job.").is_question


def test_a_command_stays_one_with_a_question_mark() -> None:
    assert judge("Can you turn on the heating?").reason == "command"


def test_a_long_talk_is_judged_by_its_front_and_its_end() -> None:
    talk = "we went along the river and saw the boats "
    many = talk * (LONG // len(talk) + 5)
    assert judge(f"what do you think of this {many}", "en").is_question
    assert judge(f"{many} jane do you know where it ends", "en").is_question
    assert not judge(many, "en").is_question
    assert judge("我们沿着河走" * LONG + "你去哪里", "zh").is_question


def test_only_the_newest_part_of_a_very_long_final_is_read() -> None:
    question = "is it far?"
    verdict = judge("blah. " * 2_000_000 + question)
    assert verdict.question == question
    assert not judge(question + " blah. " * MAX_CHARS).is_question
    assert not judge(question + " \ufdfa" * (MAX_CHARS // 4)).is_question  # eighteen letters in one sign
    assert judge("\ufdfa" * MAX_CHARS + ". " + question).question == question


@pytest.mark.parametrize(
    "text",
    [
        "isn't it " * 999,
        "是不是" * 999,
        "ええ" * 999,
        "그런가 " * 999,
        "e la carne " * 999,
        "?" * 9999,
        "「" * 9999,
    ],
)
@pytest.mark.parametrize("language", ["en", "zh", "ja", "ko", "es", "fr", "de", "it"])
def test_repetitive_texts_are_judged(text: str, language: str) -> None:
    assert judge(text, language).reason in REASONS


def test_of_a_long_text_the_newest_sentences_count_and_earlier_ones_that_ask_by_their_mark() -> None:
    talk = "We went along the river and saw the boats. " * 20
    assert judge(f"Is it far? {talk}").question == "Is it far?"
    assert not judge(f"is it far. {talk}").is_question
    asking = "".join(f"Is it {number}? " for number in range(9))
    assert judge(asking + talk).question == "Is it 5? Is it 6? Is it 7? Is it 8?"
    long_question = "is it far " * 90 + "or not"
    assert judge(f"{talk}{long_question}?").question == f"{long_question}?"


@pytest.mark.parametrize("text", ["Mr. Smith is here? ", "He came at 5 p.m. and left? ", "j. r. r. tolkien wrote it? "])
def test_a_short_form_ends_no_sentence_however_long_the_text(text: str) -> None:
    talk = "we went along the river. " * 30
    assert judge(talk + text).question == text.strip()
    assert judge(text + talk).question.startswith(text.strip())


HOSTILE = [
    "か。",
    "a? ",
    "a. ",
    "mr. ",
    "?!",
    "。",
    "is it far? ",
    "you know. ",
    "是不是",
    "x" * 130 + "? ",
    "really, ",
    "\n",
]


def work(text: str) -> int:
    """What rules may look at: characters, and as many more for each sentence as it costs to begin with one."""
    sentences = split(text[-MAX_CHARS:])
    by_mark = [sentence for sentence in sentences if sentence.mark == "?" and len(sentence.body) > MARKED]
    return sum(20 + min(len(sentence.body), 2 * LONG) for sentence in sentences if sentence not in by_mark)


@given(st.lists(st.tuples(st.sampled_from(HOSTILE), st.integers(1, 1000)), min_size=1, max_size=4))
def test_no_text_takes_long(parts: list[tuple[str, int]]) -> None:
    most = NEWEST_CHARS + LONG + EARLIER * MARKED + 20 * (NEWEST + EARLIER)
    assert work("".join(part * times for part, times in parts)) <= most


PIECES = "what is the do you isn't it and so i mean 你 是不是 什么 吗 ? . , “ ” - 何 か 뭐 니 qué où wie oder \n"
WORDS = st.lists(st.sampled_from(PIECES.split(" "))).map(" ".join)


@given(
    st.text() | WORDS,
    st.none() | st.text() | st.sampled_from(["en", "zh-Hant", "ja", "ko", "es", "fr", "de", "it"]),
)
def test_any_text_gets_one_consistent_verdict(text: str, language: str | None) -> None:
    verdict = judge(text, language)
    assert verdict == judge(text, language)
    assert verdict.reason in REASONS
    assert verdict.is_question == (verdict.reason in ASKING)
    assert 0 <= verdict.confidence <= 1
    assert verdict.question in text
    assert bool(verdict.question) == verdict.is_question
    assert verdict.language


PHRASES = (
    "이거 얼마예요|où est la gare|返品はできますか。|ガイドは何ですか|¿cuánto cuesta?|können sie mir helfen|多少钱？|"
    "it is café. why?|perché no?|ﾅﾝﾃﾞｽｶ|ｗｈａｔ ｉｓ ｉｔ|x\u00adx\u200bx ﬁne … ½"
)
SPELLINGS = st.sampled_from(PHRASES.split("|"))
SPELLED = st.lists(SPELLINGS | WORDS | st.text(max_size=5), max_size=4).map(" ".join)


@given(SPELLED, st.none() | st.sampled_from(["en", "zh", "ja", "ko", "es", "fr", "de", "it"]))
def test_another_spelling_in_unicode_is_judged_the_same_and_shown_as_it_came(text: str, language: str | None) -> None:
    one, other = (judge(normalize(form, text), language) for form in ("NFC", "NFD"))
    assert replace(one, question="") == replace(other, question="")
    assert other.question in normalize("NFD", text)
    assert normalize("NFC", other.question) == one.question


@pytest.mark.parametrize(
    "text",
    [
        normalize("NFD", "이거 얼마예요"),
        normalize("NFD", "où est-ce que je peux récupérer ça"),
        "ﾍﾝﾋﾟﾝはできますか",
        "ｗｈａｔ ｉｓ ｔｈｅ ｐｒｉｃｅ",
        "wh\u00adat is the price",
        "what\u200b is the price",
        "\ufeffwhat is the price",
    ],
)
def test_a_question_is_one_in_any_spelling(text: str) -> None:
    verdict = judge(text)
    assert verdict.is_question
    assert verdict.question == text.lstrip("\ufeff")


@given(WORDS)
def test_space_around_a_text_changes_nothing(text: str) -> None:
    assert judge(f"  {text}  ", "en") == judge(text, "en")
