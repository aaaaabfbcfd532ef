"""What a question has to do with the talk before it: whether it points there, and what of that says anything."""

from __future__ import annotations

import re

from app.models.spelling import compared
from app.services.local.terms import question_words

_SENTENCE = re.compile(r"[^.!?。！？…\n]+")
_WORD = re.compile(r"[^\W_]+")
# Beside the words that name nothing anyhow. A sentence of these alone is about nothing; "we start with the budget" is.
_COURTESIES = frozenset(
    """
    afternoon begin bye colleagues day dear evening everybody everyone folks friends great guys hear item join joining
    minute moment morning move moving next nice perfect ready screen see share sharing sorry start team today wait
    welcome abend alle allerseits danke freut guten hallo morgen schön tag vielen weiter willkommen zusammen beaucoup
    bien bienvenue bon bonjour bonne bonsoir merci salut soir tous buenas buenos días gracias hola muchas noches tardes
    todas todos vamos buongiorno ciao grazie tutti bom dia obrigada obrigado olá привет спасибо всем
    """.casefold().split()
)
_CJK_COURTESIES = re.compile(
    "各位|大家|你好|您好|好|早上|上午|下午|晚上|早|谢谢|謝謝|感谢|感謝|辛苦|开始|開始|继续|繼續|欢迎|歡迎|"
    "皆さん|おはよう|こんにちは|ありがとう|始め|여러분|안녕|감사|시작|합니다|하세요"
)
# Words for something that was named before. It matters little that some of them mean more in another language.
_POINTING = re.compile(
    r"\b(?:it|its|they|them|their|this|that|these|those|there|he|him|his|she|her|ones?|es|das|dies\w*|sie|ihn|ihm"
    r"|da(?:mit|von|für|zu|bei|ran|rauf|rin)|ça|cela|celui|celle|eso|esto|es[ae]|est[ae]|él|ella|ellos|lo|quest[oaie]"
    r"|quell[oaie]|ciò|lui|lei|isso|isto|el[ea]s?|это|этот|эта|эти|он|она|они|его|её|их|bu|bunu|şu|onu|itu|ini|dia"
    r"|nó|này|đó|ấy)\b|[它他她这這那其]|[そこあ]れ|그거|그건|그게|이거|이건|이게"
)


def points(question: str) -> bool:
    """Whether it is about something that it does not name."""
    return _POINTING.search(compared(question).casefold()) is not None


def without_courtesies(text: str) -> str:
    """The sentences that do more than greet, thank or call to order."""
    return ". ".join(sentence.strip() for sentence in _SENTENCE.findall(text) if _says_more(sentence))


def _says_more(sentence: str) -> bool:
    plain = _CJK_COURTESIES.sub(" ", compared(sentence).casefold())
    return bool(question_words(" ".join(word for word in _WORD.findall(plain) if word not in _COURTESIES)))
