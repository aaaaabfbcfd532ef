"""The detector in tables: plain cases, endings, languages, and gold sentences that stay right."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from app.models.verdicts import ASKING, LANGUAGES, REASONS
from app.services.question_detector import judge
from app.services.question_detector.english import normalise
from app.services.question_detector.judge import LONG, MARKED, MAX_CHARS
from app.services.question_detector.language import _FOREIGN, _NOT_LATIN, _OF_ANOTHER, _SCRIPTS, _SHARED
from app.services.question_detector.reference import is_small
from app.services.question_detector.rules import _MARKED_WORD, _WORD, marked_words, plain
from app.services.question_detector.sentences import EARLIER, NEWEST, NEWEST_CHARS, _marks, _split_at_marks, split
from app.services.question_detector.table import Table

GOLD = Path(__file__).parent / "gold"
ANSWERS = Path(__file__).parent / "answers"
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


@pytest.mark.parametrize("language", LANGUAGES)
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


def test_questions_that_the_embedded_provider_is_measured_with_are_heard_as_such() -> None:
    sets = [path for path in ANSWERS.glob("*.tsv") if not path.name.endswith(".talk.tsv")]
    asked = [line.partition("\t")[0] for path in sets for line in path.read_text("utf-8").splitlines()]
    assert len(asked) > 100
    assert [text for text in asked if not judge(text).is_question] == []


def tables() -> dict[str, Table]:
    modules = {
        language: import_module(f"app.services.question_detector.{name}") for language, name in LANGUAGES.items()
    }
    return {language: module.TABLE for language, module in modules.items() if hasattr(module, "TABLE")}


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.parametrize(("language", "table"), tables().items(), ids=tables())
def test_every_alternative_and_exception_of_a_rule_decides_a_gold_sentence(language: str, table: Table) -> None:
    bodies = [sentence.body for row in gold_rows() if row[0] == language for sentence in split(row[3])]
    findings = [(body, table.decide(body)) for body in bodies]
    idle = []
    for index, rule in enumerate(table.rules):
        findings.sort(key=lambda each: each[1].rule != rule.name)  # most likely to change, and one is enough
        for kind in ("alternatives", "exceptions"):
            words = getattr(rule, kind)
            for each in words:
                rest = [other for other in words if other != each] or ["(?!)"]
                without: dict[str, Any] = {kind: rest}
                rules = [*table.rules[:index], replace(rule, **without), *table.rules[index + 1 :]]
                other_table = replace(table, rules=rules)
                if all(other_table.decide(body) == finding for body, finding in findings):
                    idle.append((rule.name, each))
    for each in table.unfinished:
        other_table = replace(table, unfinished=[other for other in table.unfinished if other != each])
        if all(other_table.decide(body) == finding for body, finding in findings):
            idle.append(("unfinished", each))
    assert idle == []


@pytest.mark.parametrize(("language", "table"), tables().items(), ids=tables())
def test_rules_are_known_by_their_names(language: str, table: Table) -> None:
    names = [rule.name for rule in table.rules]
    assert len(set(names)) == len(names)
    told = {judge(row[3], language).rule for row in gold_rows() if row[0] == language and row[2] != "mixed"}
    assert told - {"statement", "question mark", "quoted"} <= set(names)
    assert "" not in told


BORDERS = {"front": r"(?:{})(?= |$)", "anywhere": r"(?:^|(?<= ))(?:{})(?= |$)", "end": r"(?:^|(?<= ))(?:{})$"}
BORDERS["opening"] = BORDERS["front"]


@pytest.mark.no_cover
@pytest.mark.parametrize(("language", "table"), tables().items(), ids=tables())
def test_whole_words_are_found_behind_a_space_as_at_any_border(language: str, table: Table) -> None:
    bodies = [sentence.body for row in gold_rows() if row[0] == language for sentence in split(row[3])]
    wholes = [table.prepare(body) for body in bodies]
    for rule in [rule for rule in table.rules if rule.place in BORDERS]:
        pattern = re.compile(BORDERS[rule.place].format("|".join(rule.alternatives)))
        plainly = pattern.match if rule.place in {"front", "opening"} else pattern.search
        find = rule.finder()
        for whole in wholes:
            assert (find(f" {whole}") is None) == (plainly(whole) is None), (rule.name, whole)


def test_the_gold_holds_enough_sentences() -> None:
    rows = gold_rows()
    counts = {language: sum(row[0] == language for row in rows) for language in {row[0] for row in rows}}
    assert len({(language, text) for language, _, _, text in rows}) == len(rows)
    assert counts.pop("en") >= 300
    assert counts.pop("zh") >= 300
    assert len(counts) == len(LANGUAGES) - 2
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
    ("text", "questions"),
    [
        (
            "What are your opening hours? How much is a ticket?",
            ["What are your opening hours?", "How much is a ticket?"],
        ),
        ("Where is the gate? I am late. Is there a lift?", ["Where is the gate?", "Is there a lift?"]),
        (
            "what are your opening hours and how much is a ticket",
            ["what are your opening hours", "how much is a ticket"],
        ),
        ("what is a vector, and how do i reset my password?", ["what is a vector", "how do i reset my password?"]),
        (
            "can you tell me where to park and is there a lift",
            ["can you tell me where to park", "is there a lift"],
        ),
        ("你们几点开门？停车场在哪里？", ["你们几点开门？", "停车场在哪里？"]),
        ("你们几点开门，停车场在哪里", ["你们几点开门", "停车场在哪里"]),
        ("営業時間は何時までですか。駐車場はどこですか。", ["営業時間は何時までですか。", "駐車場はどこですか。"]),
        (
            "어디에서 표를 살 수 있나요? 주차장은 몇 시에 닫나요?",
            ["어디에서 표를 살 수 있나요?", "주차장은 몇 시에 닫나요?"],
        ),
        ("Wo ist der Bahnhof? Was kostet eine Fahrkarte?", ["Wo ist der Bahnhof?", "Was kostet eine Fahrkarte?"]),
        ("onde fica a estação e quanto custa o bilhete", ["onde fica a estação", "quanto custa o bilhete"]),
        ("Где вокзал? Сколько стоит билет?", ["Где вокзал?", "Сколько стоит билет?"]),
        ("où est la gare et combien coûte un billet", ["où est la gare", "combien coûte un billet"]),
        ("¿Dónde está el museo? ¿Cuánto cuesta la entrada?", ["¿Dónde está el museo?", "¿Cuánto cuesta la entrada?"]),
        ("dov'è la stazione e quanto costa un biglietto", ["dov'è la stazione", "quanto costa un biglietto"]),
        ("Is it 1? What is a lease? Why is the sky blue?", ["Is it 1?", "What is a lease?", "Why is the sky blue?"]),
        # One capital letter, two small ones: İ.
        (
            "when does the İstanbul office open and how much is a ticket",
            ["when does the İstanbul office open", "how much is a ticket"],
        ),
    ],
)
def test_questions_that_stand_alone_are_found_one_by_one(text: str, questions: list[str]) -> None:
    assert [verdict.question for verdict in judge(text).each] == questions


@pytest.mark.parametrize(
    "text",
    [
        "how long is it and can I extend it",
        "How long is the loan? Can I extend it?",
        "What is the deposit? Why?",
        "What is RAG? Please explain in detail.",
        "Hello? How much is a ticket?",
        "what is the difference between a and b",
        "do you know when the shop opens and when it closes",
        "Is it red? Or blue?",
        "And what about the second one? And in winter?",
        "这个多少钱？它保修多久？",
        "Wie lang ist die Leihfrist? Kann ich sie verlängern? Was kostet das?",
        "Quel est le prix ? Est-ce que ça dure longtemps ?",
        "¿Cuál es el plazo? ¿Por qué?",
        "¿Qué tipo de tren es? ¿Es muy caro viajar en primera?",
        "Have you been to the shop lately? Any new coats?",
        "Another question? Where is the station?",
        "Do you have the blue one? Or is the red one cheaper?",
        "酒店的电话是多少？附近有没有停车场？",
        "能帮我找一家人均50 100元的餐馆吗",
        "帮我看一下酒店有没有泳池，是否有接机服务？",
        "Votre métier ? Que faites vous le soir ?",
        "Où sont les plans ? Vous pouvez nous l'indiquer ?",
        "Ti piacciono i dolci? Oppure ti piace di più il pane?",
    ],
)
def test_questions_that_lean_on_each_other_are_one(text: str) -> None:
    assert judge(text).others == ()


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
        ("где вокзал", None, "ru"),
        ("где вокзал", "zh", "ru"),
        ("де вокзал", "uk", "uk"),
        ("де знаходиться її будинок", None, "und"),
        ("यह कहाँ है", "en", "hi"),
        ("हे कुठे आहे", "mr", "mr"),
        ("أين المحطة", "fr", "ar"),
        ("کجا می‌روید", None, "und"),
        ("کجا می‌روید", "fa", "fa"),
        ("πού είναι ο σταθμός", None, "und"),
        ("onde fica a praia", "pt-BR", "pt"),
        ("quando sai o ônibus", None, "pt"),
        ("me diz o horário", None, "pt"),
        ("depois eu te ligo", None, "pt"),
        ("saatleri söyle", None, "tr"),
        ("çek kabul ediyor musunuz", None, "tr"),
        ("je te rappelle", None, "fr"),
        ("mein vater kommt", None, "de"),
        ("nessuno risponde", None, "it"),
        ("nadie contesta", None, "es"),
        ("come on", None, "en"),
        ("istasyon nerede", "tur", "tr"),
        ("waar is het station", "nl", "nl"),
        ("πού είναι ο σταθμός", "el", "el"),
        ("hello", "x-private", "en"),
        ("", "", "en"),
    ],
)
def test_script_and_words_tell_the_language(text: str, hint: str | None, language: str) -> None:
    assert judge(text, hint).language == language


@pytest.mark.no_cover  # many times the same lines
def test_no_letter_of_another_script_is_taken_for_a_latin_one() -> None:
    signs = [chr(code) for code in range(sys.maxunicode + 1)]
    others = [*_SCRIPTS.values(), _SHARED, _OF_ANOTHER, _FOREIGN]
    assert not [sign for sign in signs if any(other.search(sign) for other in others) and not _NOT_LATIN.search(sign)]


def test_a_language_without_rules_is_read_by_its_marks() -> None:
    assert judge("Де вокзал?", "uk").is_question
    assert not judge("Це вокзал.", "uk").is_question
    assert not judge("де вокзал", "uk").is_question


def test_traditional_characters_are_judged_like_simplified_ones() -> None:
    traditional, simplified = judge("這個東西怎麼用"), judge("这个东西怎么用")
    assert traditional == replace(simplified, question="這個東西怎麼用")


def test_a_full_stop_leaves_a_plain_question_and_a_request_standing() -> None:
    assert judge("Where is the station.").is_question
    assert judge("Please explain the deposit.").is_question
    assert not judge("Does a good job.").is_question


@pytest.mark.parametrize(
    ("text", "is_complete"),
    [
        ("what is the difference between", False),
        ("what is the price of", False),
        ("what is the best way to", False),
        ("can i use it for", False),
        ("can you help me with", False),
        ("how long is the", False),
        ("请问价格和", False),
        ("请问保修期的", False),
        ("怎么和", False),
        ("what is it for", True),
        ("who did you go with", True),
        ("is it made of", True),
        ("what is the ceiling made of", True),
        ("are you looking for", True),
        ("怎么做的", True),
        ("这是谁的", True),
    ],
)
def test_last_words_that_something_must_follow_leave_a_question_open(text: str, is_complete: bool) -> None:
    verdict = judge(text)
    assert (verdict.is_question, verdict.is_complete) == (True, is_complete)


@pytest.mark.parametrize(
    "text",
    [
        "since when",
        "where exactly",
        "give me the numbers for march",
        "get me the phone numbers",
        "look for the invoice of june",
        "look up the refund policy",
        "have the invoices arrived",
        "我喜欢红色的你觉得呢",
        "我觉得很好你呢",
        "我知道了那多少钱",
        "你说过怎么退款来着",
        "你最多要多少钱",
        "返品はできますか。",
        "何時に始まるんだっけ。",
        "언제 시작합니까",
        "언제 오니까",
        "겨울은요",
        "look into the refund policy",
        "had the train left",
        "have my parcels been shipped",
        "give me a rough estimate",
        "give us the highlights",
        "run me through the steps",
        "fill me in on the project",
        "refresh my memory about the deposit",
        "break down the costs for me",
        "name three museums in rome",
        "pull up the report for june",
        "你要茶还是咖啡",
        "周一还是周二",
        "报一下三月的数据",
        "给我三月的数字",
        "查三月的销量",
        "最晚几点退房",
    ],
)
def test_what_asks_in_few_words_or_behind_others(text: str) -> None:
    assert judge(text).is_question


@pytest.mark.parametrize(
    "text",
    [
        "why not",
        "what's the point",
        "are you kidding me",
        "what on earth",
        "how about that",
        "isn't that something",
        "who would have thought",
        "很多钱",
        "他有很多钱",
        "要这么多钱",
        "天哪",
        "我的天哪",
        "他可不是吗",
        "我还是不知道",
        "我还是去吧",
        "天气还是很好",
        "价格还是那么高",
        "他在睡觉呢",
        "비가 오니까",
        "제가 하니까",
        "look up there in the sky",
        "look up",
        "have the soup it is great",
        "and in winter",
        "and the rest is history",
        "give me a hand",
    ],
)
def test_what_only_looks_like_a_question(text: str) -> None:
    assert not judge(text).is_question


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
@pytest.mark.parametrize("language", LANGUAGES)
def test_repetitive_texts_are_judged(text: str, language: str) -> None:
    assert judge(text, language).reason in REASONS


@given(
    text=st.text(st.sampled_from("aB 1'\u3000\n") | st.sampled_from('.?!…。；;؟)"»'), max_size=40) | st.text(),
    times=st.sampled_from([1, 1, 1, 60]),
    end=st.sampled_from(["", ".", "?", "?)", "\n", " "]),
)
def test_a_text_of_one_sentence_is_cut_the_short_way_as_any_other(text: str, times: int, end: str) -> None:
    whole = (text * times)[:MAX_CHARS] + end
    assert split(whole) == _split_at_marks(whole)


CLOSER = r"""["'”“’»」』)）\]]"""
MARK = "?？﹖؟\u037e՞፧‽⁇⁈⁉。．!！…।｡"
BOUNDARY = regex.compile(
    rf"(?r)(?:[{MARK}]|\.(?=\s|{CLOSER}|[.?!]|$))[{MARK}.]*"
    rf"(?:(?:[ \u00a0\u202f]»|{CLOSER}){{0,9}}+(?!{CLOSER})|(?={CLOSER}{{10}})(?<=[{MARK}.]))|[\n;；]+"
)
SIGNS = ["a", "B", " ", "1", "?", ".", "!", "…", "。", ";", "\n", '"', "»", "\u00a0»", "'" * 9, "'" * 10]


@given(st.lists(st.sampled_from(SIGNS), max_size=30).map("".join))
def test_a_mark_and_then_what_closes_it_are_found_as_the_two_in_one(text: str) -> None:
    assert list(_marks(text, len(text))) == [(*found.span(), found[0]) for found in BOUNDARY.finditer(text)]


SPELT = ["is", "İ", "ß", "It's", "你", "é", "e\u0301", "2", "² ", " ", "\u3000", "-", "’", "_"]


@given(st.lists(st.sampled_from(SPELT)).map("".join))
def test_words_alone_are_cut_as_words_with_marks_are(text: str) -> None:
    assert plain(text) == " ".join(_WORD.findall(text.lower())).replace("’", "'")
    assert marked_words(text) == " ".join(_MARKED_WORD.findall(text.lower()))


@given(st.lists(st.sampled_from(["is", "it", "is it", "the", "don't", "don", "t", "i"]), max_size=16).map(" ".join))
def test_what_is_said_twice_over_is_read_once(text: str) -> None:
    plainly = re.sub(r"(?<![\w'])([\w']++(?: [\w']++){0,3})(?: \1)+(?![\w'])", r"\1", text)
    assert normalise(text) == plainly


@pytest.mark.parametrize("text", ["Ask Mr.", "is it 3.", "what?", "a;", "\n", "?", "what is it" * 100 + "?"])
def test_a_mark_at_the_end_is_read_the_short_way_as_any_other(text: str) -> None:
    assert split(text) == _split_at_marks(text)


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


@given(st.lists(st.sampled_from(["你", "a", "_", "!", " ", "  ", "\u3000", "1", "'", "²"]), max_size=30).map("".join))
def test_small_is_what_has_few_words_or_characters(text: str) -> None:
    words = sum(any(map(str.isalnum, word)) for word in text.split())
    assert [is_small(text, "en"), is_small(text, "en", by_mark=True)] == [words <= 2, words <= 4]
    assert [is_small(text, "ko"), is_small(text, "ko", by_mark=True)] == [words <= 1, words <= 2]
    letters = sum(map(str.isalnum, text))
    assert [is_small(text, "zh"), is_small(text, "zh", by_mark=True)] == [letters <= 3, letters <= 6]


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


@pytest.mark.parametrize("run", ["'", "’", "\u00a0»", ")", "'\u00a0»", ". ", "?", "\n", "…'"])
def test_a_run_of_marks_is_cut_in_the_time_it_takes_to_read_it(run: str) -> None:
    started = time.thread_time()
    split(run * 100_000 + "a.b?")
    assert time.thread_time() - started < 5  # quadratic, it takes minutes


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 2000])
@pytest.mark.parametrize("closer", ["'", "»", "）"])
def test_however_many_signs_close_a_sentence_it_ends_there(closer: str, count: int) -> None:
    first, second = split(f"is it open?{closer * count} We go.")
    assert (first.body, first.mark) == ("is it open", "?")
    assert (second.body, second.mark) == ("We go", ".")


PIECES = "что ли mı ne apakah không क्या هل que " + (
    "what is the do you isn't it and so i mean 你 是不是 什么 吗 ? . , “ ” - 何 か 뭐 니 qué où wie oder \n"
)
WORDS = st.lists(st.sampled_from(PIECES.split(" "))).map(" ".join)


@given(
    st.text() | WORDS,
    st.none() | st.text() | st.sampled_from(["zh-Hant", *LANGUAGES]),
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


@given(SPELLED, st.none() | st.sampled_from(list(LANGUAGES)))
def test_another_spelling_in_unicode_is_judged_the_same_and_shown_as_it_came(text: str, language: str | None) -> None:
    one, other = (judge(normalize(form, text), language) for form in ("NFC", "NFD"))
    assert len(one.each) == len(other.each)
    for each, again in zip(one.each, other.each, strict=True):
        assert replace(each, question="", others=()) == replace(again, question="", others=())
        assert again.question in normalize("NFD", text)
        assert normalize("NFC", again.question) == each.question


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
