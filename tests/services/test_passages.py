"""Markdown and plain text as passages, and the sentences that can be quoted from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.local.passages import PASSAGE_CHARS, split_markdown, split_plain, units


def sections(markdown: str) -> list[tuple[str, str]]:
    return [("/".join(headings), text) for headings, text in split_markdown(markdown)]


def sentences(text: str) -> list[str]:
    return [unit.text for unit in units(text)]


def test_a_passage_stands_under_the_path_of_its_headings() -> None:
    markdown = "before\n# A\none\n## B\ntwo\n### C ###\nthree\n## D\nfour\n# E\nfive"
    assert sections(markdown) == [
        ("", "before"),
        ("A", "one"),
        ("A/B", "two"),
        ("A/B/C", "three"),
        ("A/D", "four"),
        ("E", "five"),
    ]


@pytest.mark.parametrize(
    ("markdown", "heading"),
    [
        ("# The [guide](guide.md)", "The guide"),
        ("   ### C# ###", "C#"),
        ("Title\n=====", "Title"),
        ("Title\n---", "Title"),
        ("#", ""),
        ("# " + "long " * 100, ("long " * 24).strip()),
    ],
)
def test_a_heading_is_read_in_all_its_spellings(markdown: str, heading: str) -> None:
    assert sections(f"{markdown}\n\ntext") == [(heading, "text")]


@pytest.mark.parametrize(
    "text",
    [
        "#hashtag",
        "    # indented",
        "####### seven",
        "```bash\n# a comment\n```",
        "~~~~\n# a comment\n~~~\n# another\n~~~~~",
        "- item\n---",
        "two\nlines\n---",
    ],
)
def test_what_only_looks_like_a_heading_is_text(text: str) -> None:
    assert [heading for heading, _ in sections(f"{text}\n\ntext")] == [""]


def test_code_without_an_end_goes_on_to_the_end_of_the_file() -> None:
    assert sections("```\n# a\n\n# b") == [("", "```\n# a\n\n# b\n```")]


def test_code_in_a_list_loses_its_indent() -> None:
    assert sections("1. Run\n   ```sh\n   make\n     test\n   ```\n2. Stop") == [
        ("", "1. Run\n\n```sh\nmake\n  test\n```\n\n2. Stop")
    ]


@pytest.mark.parametrize("front_matter", ["---\ntitle: x\n---\n", "---\ntitle: x\n...\n", "---\r\ntitle: x\r\n---\r\n"])
def test_front_matter_is_left_out(front_matter: str) -> None:
    assert sections(f"{front_matter}text") == [("", "text")]
    assert sections(front_matter.rstrip()) == []


def test_a_rule_is_no_front_matter() -> None:
    assert "".join(text for _, text in sections("---\none\n\ntwo")) == "---\none\n\ntwo"


def test_in_plain_text_nothing_is_a_heading() -> None:
    assert [*split_plain("# 1\n\nTitle\n=====\ntext\n")] == [((), "1\n\nTitle\n\ntext")]


def test_short_paragraphs_share_a_passage_and_long_ones_are_cut_at_sentences() -> None:
    sentence = "This sentence says very little and is repeated over and over, to be sure. "
    short, long = "One.\n\nTwo.\n\n", sentence * 30
    first, *rest = [text for _, text in sections(short + long)]
    assert first.startswith("One.\n\nTwo.\n\nThis")
    assert len(rest) == 2
    assert all(len(text) <= PASSAGE_CHARS and text.endswith("sure.") for text in (first, *rest))


def test_long_code_is_cut_into_pieces_with_a_fence_each() -> None:
    code = "\n".join(f"line {number}" for number in range(200))
    texts = [text for _, text in sections(f"```py\n{code}\n```")]
    assert len(texts) > 1
    assert all(text.startswith("```py\nline ") and text.endswith("\n```") for text in texts)
    assert "\n".join(text[6:-4] for text in texts) == code


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("One. Two!  Three?\nFour", ["One.", "Two!", "Three?", "Four"]),
        ("It costs 3.50 e.g. in Rome. Nice, i.e. good.", ["It costs 3.50 e.g. in Rome.", "Nice, i.e. good."]),
        ('She said "Stop." He did.', ['She said "Stop."', "He did."]),
        ("第一句。第二句！“第三句？”第四句", ["第一句。", "第二句！", "“第三句？”", "第四句"]),
        ("一行\n接一行。\nand English\nwords", ["一行接一行。", "and English words"]),
        ("- one. Two\n  goes on\n- [x] three\n1. four", ["one.", "Two goes on", "three", "four"]),
        ("It closes with code 1000. Then it ends.", ["It closes with code 1000.", "Then it ends."]),
        ("> A quoted\n> remark.", ["A quoted remark."]),
        ("> [!NOTE]\n> Mind it.", ["Mind it."]),
        ("A **strong** [link](a.md 'title') and [other][1] ![image](i.png).", ["A strong link and other image."]),
        ("[![badge](b.svg)](c)", ["badge"]),
        ("text <!-- a\ncomment --> goes on", ["text  goes on"]),
        ("***", []),
        ("intro\n| a | b |\n|---|:-:|\n| 1 | 2 \\| 3 |\n| | 4 |\nend", ["intro", "a: 1 | b: 2 \\| 3", "b: 4", "end"]),
        ("| 1 | 2 |\n| 3 | 4 | 5 |", ["1 | 2", "3 | 4 | 5"]),
        ("```\ncode. More\n```", ["```\ncode. More\n```"]),
    ],
)
def test_a_passage_is_quoted_by_sentences_items_rows_and_code(text: str, quotes: list[str]) -> None:
    assert sentences(text) == quotes


@pytest.mark.parametrize(
    "text",
    [
        "One. Two!\n\nThree?",
        "一。二！\n\n三",
        "Before\n- one. Two\n- three",
        "Code\n\n```\ncode. More\n```\n\nafter",
    ],
)
def test_the_parts_of_a_passage_make_the_passage(text: str) -> None:
    assert "".join(unit.before + unit.text for unit in units(text)).strip() == text


def test_code_takes_what_it_is_about_along_into_the_next_passage() -> None:
    code = "```\n" + "x = 1\n" * 100 + "```"
    assert [text for _, text in sections(f"{('long ' * 80).strip()}\n\nSo it is set.\n\n{code}")] == [
        f"{('long ' * 80).strip()}\n\nSo it is set.",
        f"So it is set.\n\n{code}",
    ]


def test_each_part_of_a_long_table_has_its_head() -> None:
    table = "| name | what it does |\n|---|---|\n" + "| one | It is a word of three letters. And more. |\n" * 40
    first, *rest = [text for _, text in sections(table)]
    assert first.startswith("| name | what it does |\n|---|---|\n| one |")
    assert rest
    for text in (first, *rest):
        assert set(sentences(text)) == {"name: one | what it does: It is a word of three letters. And more."}


def test_a_long_list_keeps_its_items() -> None:
    items = [f"{number}. This is what number {number} says. It goes on." for number in range(1, 40)]
    texts = [text for _, text in sections("\n".join(items))]
    assert len(texts) > 1
    assert "1." not in [quote for text in texts for quote in sentences(text)]
    assert texts[0].startswith("\n".join(items[:5]))


def test_a_colon_keeps_what_it_announces() -> None:
    assert sentences("Do this. Run:\n\n```\nmake\n```\n\nDone.") == ["Do this.", "Run:\n```\nmake\n```", "Done."]
    assert sentences("两步：\n- 一\n- 二") == ["两步：\n- 一\n- 二"]
    assert sentences("Note:\n\nA paragraph.") == ["Note:", "A paragraph."]
    assert len(sentences("Many:\n" + "- an item\n" * 70)) == 71


MARKDOWN = st.lists(
    st.sampled_from(["#", "##", " ", "\n", "\n\n", "```", "~~~", "---", "===", "|", "- ", "1. ", "> ", "[", "](", ")"])
    | st.sampled_from(["<!--", "-->", "**", ".", ":", "。", "word", "词", "x" * 900, "e.g", "\r\n", "\u2028"])
    | st.text(max_size=5)
).map("".join)


@given(MARKDOWN)
def test_any_text_becomes_passages_of_a_bounded_size(text: str) -> None:
    for section in [*split_markdown(text), *split_plain(text)]:
        assert 0 < len(section.text) <= 2 * PASSAGE_CHARS  # a piece of code comes with its fences
        assert all(quote.strip() for quote in sentences(section.text))
