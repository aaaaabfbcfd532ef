"""Words that lean on what was said before: a sentence that goes on, a question that cannot stand alone."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import word_set

# A final that begins so goes on with the sentence before it: a breath was taken there.
_GOES_ON: Final[dict[str, frozenset[str]]] = {
    "en": word_set(
        "of for in on at to with without from by about than that and or like as per between during because if when "
        "where near under over inside outside before after using via"
    ),
    "de": word_set("von vom für mit in im am an und oder aus bei nach zu zum zur über ohne als wenn dass weil"),
    "fr": word_set("de du des pour dans avec sans et ou à au aux sur en par si quand que"),
    "es": word_set("de del para en con sin y o u a al sobre por si cuando que"),
    "it": word_set("di del della dei per in nel nella con senza e o a al alla su sul da dal se quando che"),
}
_GOES_ON_UNSPACED: Final = {
    "zh": re.compile(r"(?:的|和|跟|与|與|或者|还有|還有|以及|比起|关于|關於)"),
    "ja": re.compile(r"(?:は|が|を|に|で|と|の|へ|から|まで|より)"),
}

# An elliptic question: a lead word and a phrase without a verb of its own.
_FOLLOWS_UP: Final = {
    "en": re.compile(
        r"(?:(?:and|but|or|so|okay|ok|then)\s+)*(?:(?:what|how) about\b.{0,40}"
        r"|(?<=\s)(?!(?:what|which|who|whose|where|when|why|how|is|are|was|were|do|does|did|can|could|will|would|"
        r"should|has|have|tell|show|explain)\b)\w+(?:\s+\w+){0,4})\s*\??"
    ),
    "zh": re.compile(
        r"(?:那么?|还有|還有|那如果|至于|至於)?(?!.*(?:什么|什麼|怎么|怎麼|为什么|谁|誰|哪|几|幾|多少|吗|嗎)).{1,10}呢[？?]?"
    ),
    "ja": re.compile(r"(?:では|じゃあ|それなら)?.{1,10}は[？?]?"),
    "ko": re.compile(r"(?:그럼|그러면)?\s*\S{1,10}(?:은|는)요?[？?]?"),
    "de": re.compile(r"und\s+(?!(?:was|wer|wo|wann|wie|warum|ist|sind|kann|haben|hat)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "fr": re.compile(r"et\s+(?!(?:que|qui|quoi|où|quand|comment|pourquoi|est)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "es": re.compile(r"¿?y\s+(?!(?:qué|que|quién|dónde|cuándo|cómo|cuánto|es|hay)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "it": re.compile(r"e\s+(?!(?:che|cosa|chi|dove|quando|come|perché|quanto|è|c'è)\b)\w+(?:\s+\w+){0,3}\s*\??"),
}
# A question about something that it does not name: "how much is it", "why", "这个多少钱".
_LEANS: Final = {
    "en": re.compile(
        r"\b(?<!time is )(?:it|they|them|he|she|him|her|ones?)(?:\s+[a-z]+)?\W*$|\b(?:this|that|these|those|there)"
        r"(?:\s+(?:mean|means|work|works|cost|costs|happen|happens|take|takes|possible|true|right|free|included))?\W*$"
        r"|^(?:(?:and|but|so|okay|ok)\s+)*(?:why|how|when|where|who|which|what|how (?:so|come|much|many|long|often|far)"
        r"|since when|like what|such as)(?:\s+(?:not|exactly|then|again))?\W*$"
    ),
    "zh": re.compile(
        r"^(?:那么?|请问|請問)?(?:它们?|他们?|她们?|[这那這][个些個]?)(?:的?(?:价格|時間|时间))?(?:是|要|会|會|能|可以|怎么|怎麼|多|什么"
        r"|什麼|为什么|為什麼|有|贵|貴|好|呢|吗|嗎)|(?:它|[这那這][个些個])(?:呢|吗|嗎|啊)?\W*$"
        r"|^(?:那|请问|請問)?(?:为什么|為什麼|怎么办|怎麼辦|怎么做|怎麼做|多少钱|多少錢|多久|什么意思|什麼意思|什么时候|什麼時候|哪个|哪個|谁|誰)"
        r"(?:呢|啊|呀)?\W*$"
    ),
    "ja": re.compile(r"^(?:では|じゃあ)?(?:それ|これ|あれ)|^(?:なぜ|どうして|いくら|いつ|どこ)(?:ですか)?\W*$"),
    "ko": re.compile(
        r"(?:^|\s)(?:그거|그건|그게|이거|이건|이게|저거|저건)"
        r"|^(?:왜|얼마|언제|어디)(?:요|예요|에요|인가요)?\W*$"
    ),
    "de": re.compile(
        r"\b(?:das|es|ihn|sie|die|den|dem|ihm|da(?:mit|von|für|zu|rauf|ran|bei))\W*$"
        r"|^(?:(?:und|aber)\s+)?(?:warum|wieso|wie|wann|wo|wer|was|wie viel|wie lange)\W*$"
    ),
    "fr": re.compile(
        r"\b(?:ça|cela|celui-ci|celle-ci)(?:\s+\w+)?\W*$|^(?:et\s+)?(?:pourquoi|comment|combien|quand|où)\W*$"
    ),
    "es": re.compile(r"\b(?:eso|esto|ese|esa|este|esta|él|ella)\W*$|^\W*(?:por qué|cómo|cuánto|cuándo|dónde)\W*$"),
    "it": re.compile(r"\b(?:questo|quello|ciò|questa|quella|lui|lei)\W*$|^(?:perché|come|quanto|quando|dove)\W*$"),
}
_FIRST_WORD: Final = re.compile(r"[^\W\d_]+")
# Longer questions say what they are about.
_MAX_FOLLOW_UP: Final = 60


def goes_on(text: str, language: str) -> bool:
    """Whether `text` cannot be the beginning of a sentence: "of the red one", "的那个"."""
    if (unspaced := _GOES_ON_UNSPACED.get(language)) is not None:
        return unspaced.match(text) is not None
    first = _FIRST_WORD.match(text)
    return first is not None and first[0].lower() in _GOES_ON.get(language, ())


def follows_up(question: str, language: str) -> bool:
    """Whether a question means nothing without the talk before it: "and in winter?", "how much is it", "那上海呢"."""
    question = question.strip().lower()
    if language not in _FOLLOWS_UP or len(question) > _MAX_FOLLOW_UP:
        return False
    return bool(_FOLLOWS_UP[language].fullmatch(question) or _LEANS[language].search(question))
