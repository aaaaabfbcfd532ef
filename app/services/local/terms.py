"""What a text is searched by: stems of words, and characters and pairs of them in Chinese, Japanese, Korean."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from app.models.spelling import compared

MAX_QUESTION_CHARS = 4_000
MAX_QUESTION_WORDS = 64
# Other languages have other endings: the beginning of a word serves for all of them.
STEM_CHARS = 5

_HIRAGANA = "\u3040-\u309f"
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK = f"{_HAN}{_HIRAGANA}\u30a0-\u30ff\uac00-\ud7a3"
_RUN = re.compile(rf"([{_CJK}]+)|([^\W_{_CJK}]+)")  # of characters, or a word
_IS_CJK = re.compile(f"[{_CJK}]")
_WORD = re.compile(r"[^\W_]+")
_ASCII_WORDS = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}
_SPACE = array("I", " ".encode("utf-32-le"))
_IS_HAN = re.compile(f"[{_HAN}]")
_SPELLED = re.compile(r"\b[a-z](?: [a-z]){2,}\b")

# Words that ask, join or fill, but name nothing. They never make a match.
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about actually after again all also always am an and any anybody anyone anything are aren as ask at be
        because been before being but by can cannot could couldn d did didn do does doesn doing don done each else
        even ever every everything explain far few find fine for from get gets getting give gives go goes going gonna
        good got gotta had happen happened happening happens has have haven having he hello help her here hey hi him
        his hmm how i if in into is isn it its just know let lets like ll long look lot m many may maybe me mean means
        might mine more most much must my need needs no not now o of often oh ok okay on one only or other our out
        over please question quick quickly really right s said say says see seem she should shouldn show so some
        somebody someone something soon still such sure t talk talked talking tell than thank thanks that the their
        them then there these they thing things think this those to too uh um up us ve very via wanna want wants was
        wasn way we well were weren what whatever when where whether which while who whom whose why will with won
        wonder wondering would wouldn yeah yes yet you your
        """,
    )
)
# Of other languages those that name nothing in English, either. Where they are rare they would weigh most.
_FOREIGN_STOP_WORDS = frozenset(
    """
    als am auf aus bei bitte da das dass dem den der des die du durch ein eine einem einen einer es für geht
    gibt haben heißt ich ihr im ist kann kannst können mein muss müssen nach nicht oder sich sie sind und uns
    vom von wann warum was welche welchen welcher welches wenn wer werden wie wieso wieviel wird wir wo woher
    wohin zu zum zur über au avec ce ces cette combien comment dans de elle elles est et il ils je la le les
    leur lequel laquelle leurs lui ma mes mon ne nos notre nous où par pas peut pour pourquoi qu quand que
    quel quelle quelles quels qui quoi sa se ses sont sur ta tes tu un une vos votre vous à ça été être al con
    cual cuales cuando cuanto cuanta cuantos cuántas cuál cuáles cuándo cuánto cuánta cuántos cómo del donde
    dónde el ella en esta este esto está están las lo mi mis más para pero por porque puede puedo qué quien
    quién quiénes si sobre su sus tiene una unas uno unos usted y agli alla alle che ci come cos cosa cui dal
    dalla dei della delle dello dov dove gli hai ho i nel nella non per perché più può quale quali quando
    quanta quante quanti quanto sono sulla tra ao aos as do e em essa esse foi mas meu minha na nas no não o
    onde os pela pelo pode qual quais quantas quantos quem seu sua são tem uma você às é а без бы в вам вас
    ваш во вы где для до его если есть еще ещё же за и из или их к как какая какие какой какое когда кто куда
    ли меня мне можно мой мы на не него нет но о об он она они от по почему при с сколько со так такое там то
    ты у что чтобы это я bir bu gibi için ile kaç mü mı nasıl neden nerede nereye niye ve veya var çok şu
    adalah apa apakah bagaimana berapa dari dengan ini itu kapan kenapa mengapa pada siapa untuk yang có của
    các gì khi không là làm nào này những như sao thế tại và với đâu được ở
    """.casefold().split()
)
_STOP_CJK = re.compile(
    "为什么|為什麼|什么时候|什麼時候|是什么|是什麼|怎么样|怎麼樣|怎么办|怎麼辦|什么|什麼|怎么|怎麼|怎样|怎樣|多少|多久|"
    "如何|为何|為何|何时|何時|哪里|哪裡|哪儿|是否|是不是|有没有|有沒有|能不能|可不可以|可以|可否|能否|请问|請問|知道|"
    "告诉|告訴|一下|一个|一個|一些|这样|這樣|那样|这里|那里|然后|然後|就是|那么|那麼|因为|因為|所以|如果|但是|还是|還是|"
    "应该|應該|需要|想要|我们|我們|你们|你們|他们|他們|有什么|"
    "どうやって|どのように|どうすれば|どこ|いつ|なぜ|何|ください|ですか|ますか|"
    "어떻게|무엇|뭐|언제|어디|누구|인가요|습니까|입니까|하나요|"
    "[的了很吗嗎呢吧啊呀嘛嗯呃哦喂我你您他她它这這那哪谁誰么麼]"
)
# Characters that mostly join words. One is part of a term, never a term of its own.
_WEAK_CJK = re.compile(
    f"[是个個在有会會能要想太更最还還和与與或都就也不没沒把被给給让讓到从從对對请請去来來说說看问問{_HIRAGANA}]"
)


class Word(NamedTuple):
    """One word of a question: found where any of its terms stands.

    In Chinese, Japanese and Korean a character counts as half a word and is found by the pairs it forms, so
    that a pair which merely spans two words ("置密" in "配置密钥") costs nothing where a text lacks it.
    """

    terms: tuple[str, ...]
    size: float


def text_terms(text: str) -> list[str]:
    """The terms a text is found by: only letters and digits, so none can mean anything to FTS5."""
    return spaced_terms(text).split()


def spaced_terms(text: str) -> str:
    """The same between spaces. Each passage of a folder goes through here: what is dear in it is left to C."""
    if text.isascii():
        return " ".join(map(_stem, text.translate(_ASCII_WORDS).split()))
    plain = _plain(text)
    if not _IS_CJK.search(plain):
        return " ".join(map(_stem, _WORD.findall(plain)))
    return " ".join([_stem(word) if word else _spread(characters) for characters, word in _RUN.findall(plain)])


def question_words(text: str) -> list[Word]:
    """The words of a question that can match, in the order of their last mention, from its end at most so many."""
    plain = _STOP_CJK.sub(" ", _plain(text[-MAX_QUESTION_CHARS:]))
    plain = _SPELLED.sub(lambda letters: letters[0].replace(" ", ""), plain)  # speech says "a p i"
    sizes: dict[tuple[str, ...], float] = {}
    for characters, word in _RUN.findall(plain):
        for terms, size in _spaced_words(word) if word else _cjk_words(characters):
            # Taken out and put back, so that the last mention gives the place.
            sizes[terms] = min(1, sizes.pop(terms, 0) + size)
    return [Word(*item) for item in sizes.items()][-MAX_QUESTION_WORDS:]


def has_han(text: str) -> bool:
    return _IS_HAN.search(text) is not None


def _plain(text: str) -> str:
    return compared(text).casefold()


def _spread(run: str) -> str:
    """The characters, and after each the pair that it begins: "配 配置 置"."""
    codes = array("I", run.encode("utf-32-le"))
    spread = _SPACE * (5 * len(codes))
    spread[0::5] = spread[2::5] = codes
    spread[3:-5:5] = codes[1:]
    return spread[:-4].tobytes().decode("utf-32-le")


def _spaced_words(run: str) -> Iterator[Word]:
    if run not in _STOP_WORDS and run not in _FOREIGN_STOP_WORDS:
        yield Word((_stem(run),), 1)


def _cjk_words(run: str) -> Iterator[Word]:
    weak = [bool(_WEAK_CJK.match(character)) for character in run]
    for i, character in enumerate(run):
        if not weak[i]:
            beside = [j for j in (i - 1, i) if 0 <= j < len(run) - 1]
            # A pair of two characters that mean something, else one with a joining character (会议), else alone.
            strong = [j for j in beside if not weak[j] and not weak[j + 1]]
            terms = tuple(run[j : j + 2] for j in strong or beside)
            yield Word(terms or (character,), 0.5 if strong else 1)


_ENDINGS = (
    (re.compile(r"(?:ies|ied|ying)$"), "y", 2),
    (re.compile(r"(?<![su])s$"), "", 3),
    (re.compile(r"(?:ate|ated|ating|ation)$"), "", 4),
    (re.compile(r"(?:ion|ment|ly)$"), "", 5),
    (re.compile(r"(?:ing|(?<!e)ed)$"), "", 2),
    (re.compile(r"e$"), "", 2),
)
_VOWEL = re.compile("[aeiouy]")
_DOUBLED = re.compile(r"([a-z])\1$")


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    """Cut English endings, so that "configured" finds "configuration". Crude, and the same on both sides."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word[:STEM_CHARS] if word.isalpha() else word
    for ending, instead, least in _ENDINGS:
        stem = ending.sub("", word)
        if stem != word and len(stem) >= least and _VOWEL.search(stem + instead):
            word = stem + instead
    return _DOUBLED.sub(r"\1", word)[:STEM_CHARS]
