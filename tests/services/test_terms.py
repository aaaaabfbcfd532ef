"""The terms of texts and questions."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.local.terms import MAX_QUESTION_WORDS, Word, question_words, text_terms


@pytest.mark.parametrize(
    "words",
    [
        "configure configures configured configuring configuration configurations",
        "install installs installed installation",
        "deploy deployed deployments",
        "connect connection connecting",
        "create creating creation",
        "cancel cancelled canceling",
        "set setting settings",
        "use used using uses",
        "reply replies replied replying",
        "box boxes",
        "address addresses",
        "status statuses",
        "API apis",
        "größe größer",
        "reserva reservación reservar",
    ],
)
def test_forms_of_an_english_word_have_one_term(words: str) -> None:
    assert len(set(text_terms(words))) == 1


@pytest.mark.parametrize("words", ["string strong", "need needle", "is as", "v2 v3", "größe grüße"])
def test_different_words_stay_apart(words: str) -> None:
    assert len(set(text_terms(words))) == 2


@pytest.mark.parametrize("text", ["refu\u00adnd", "re\u200bfund", "ｒｅｆｕｎｄ", "refund\ufeff"])
def test_a_word_is_found_however_it_is_spelled_in_unicode(text: str) -> None:
    assert text_terms(text) == text_terms("refund")
    assert question_words(f"the {text}") == question_words("the refund")


def test_accents_may_stand_apart() -> None:
    assert text_terms(normalize("NFD", "Größe 환불")) == text_terms("Größe 환불")


def test_text_without_spaces_is_found_by_characters_and_pairs() -> None:
    assert text_terms("配置API密钥") == ["配", "配置", "置", "api", "密", "密钥", "钥"]
    assert text_terms("ｷｰ 설정") == ["キ", "キー", "ー", "설", "설정", "정"]


@pytest.mark.parametrize(
    "asked",
    [
        *("what is it", "How do I?", "don't you", "什么", "怎么了呢", "是不是在", "何ですか", "어떻게"),
        *(
            "Was ist das?",
            "Wie heißt der?",
            "où est-il",
            "¿dónde está el?",
            "где это",
            "onde é a",
            "ne için",
            "apa itu",
        ),
    ],
)
def test_words_that_only_ask_are_no_terms(asked: str) -> None:
    assert question_words(asked) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("what's the API key", [Word(("api",), 1), Word(("key",), 1)]),
        ("the A P I key", [Word(("api",), 1), Word(("key",), 1)]),
        ("key api key", [Word(("api",), 1), Word(("key",), 1)]),
        (
            "怎么配置密钥",
            [Word(("配置",), 0.5), Word(("配置", "置密"), 0.5), Word(("置密", "密钥"), 0.5), Word(("密钥",), 0.5)],
        ),
        ("密钥的密钥", [Word(("密钥",), 1)]),
        ("是会议吗", [Word(("会议",), 1)]),
        ("猫吗", [Word(("猫",), 1)]),
    ],
)
def test_a_question_is_made_of_the_words_that_name_something(asked: str, words: list[Word]) -> None:
    assert question_words(asked) == words


def test_only_the_end_of_a_long_question_counts() -> None:
    words = question_words(" ".join(f"w{number}" for number in range(10_000)))
    assert len(words) == MAX_QUESTION_WORDS
    assert words[-1] == Word(("w9999",), 1)


@given(st.text(st.characters(exclude_categories=())))
def test_terms_of_any_text_are_letters_and_digits(text: str) -> None:
    terms = [*text_terms(text), *(term for word in question_words(text) for term in word.terms)]
    assert all(term and not set(term) & set("\"'*^:()+-{} \0\n") for term in terms)
