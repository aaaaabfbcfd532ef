"""What is asked of a talk, with the real detector: enough to be understood, and no more."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from app.models.queries import phrase
from app.models.transcript import Segment
from app.services.question_detector import judge


class Dialogue(NamedTuple):
    """Finals, the last of which asks; `about` is the word without which nobody could answer."""

    language: str
    finals: tuple[str, ...]
    about: str


LEANING = [
    Dialogue("en", ("Good morning.", "We have a new coffee machine.", "How much is it?"), "machine"),
    Dialogue("en", ("The office moves to Lisbon.", "why"), "Lisbon"),
    Dialogue("en", ("There is a rebate on the pro plan.", "and on the free plan?"), "rebate"),
    Dialogue("en", ("It says RAG_TIMEOUT here.", "what does that mean"), "RAG_TIMEOUT"),
    Dialogue("en", ("I read about the travel allowance.", "who gets it"), "allowance"),
    Dialogue("en", ("Some orders come by drone.", "how does that work"), "drone"),
    Dialogue("en", ("I need a badge. where do I get one",), "badge"),
    Dialogue("en", ("The deposit is fifty euros.", "do they pay it back"), "deposit"),
    Dialogue("en", ("Parental leave was changed in May.", "how long"), "leave"),
    Dialogue("zh", ("我们换了新的会议室系统。", "这个怎么用"), "会议室"),
    Dialogue("zh", ("北京的酒店很贵。", "那上海呢"), "酒店"),
    Dialogue("zh", ("保修期改了。", "为什么"), "保修期"),
    Dialogue("zh", ("有一款新的耳机。", "它多少钱"), "耳机"),
    Dialogue("de", ("Es gibt eine neue Reisekostenregel.", "was bedeutet das"), "Reisekostenregel"),
    Dialogue("de", ("Im Sommer ist das Lager zu.", "und im Winter?"), "Lager"),
    Dialogue("fr", ("Nous avons une nouvelle imprimante.", "combien ça coûte"), "imprimante"),
    Dialogue("es", ("Hay un bono de transporte.", "¿cómo funciona eso?"), "bono"),
    Dialogue("it", ("C'è una nuova polizza.", "quanto costa questo"), "polizza"),
    Dialogue("ja", ("新しいプリンターがあります。", "それはいくらですか"), "プリンター"),
    Dialogue("ko", ("새 프린터가 있어요.", "그거 얼마예요"), "프린터"),
]
STANDING = [
    Dialogue("en", ("The budget is late.", "so how do I reset my password"), ""),
    Dialogue("en", ("Good morning everybody.", "We are moving on Monday.", "what is the warranty of the pump"), ""),
    Dialogue("en", ("That makes sense.", "How do I cancel an answer?"), ""),
    Dialogue("en", ("We met her.", "what time is it"), ""),
    Dialogue("en", ("Fine.", "how do I cancel this subscription"), ""),
    Dialogue("en", ("Okay.", "is there parking at the office"), ""),
    Dialogue("en", ("Hello.", "what is that red light on the printer about"), ""),
    Dialogue("zh", ("大家早上好。", "怎么取消回答"), ""),
    Dialogue("zh", ("好的。", "这个服务是做什么的"), ""),
    Dialogue("zh", ("谢谢。", "年假有多少天"), ""),
    Dialogue("de", ("Guten Morgen.", "wie viele Urlaubstage habe ich"), ""),
    Dialogue("fr", ("Bonjour.", "comment changer le mot de passe"), ""),
    Dialogue("es", ("Buenos días.", "¿cuántos días de vacaciones tengo?"), ""),
    Dialogue("ja", ("おはよう。", "有給休暇は何日ですか"), ""),
]


def asked_of(dialogue: Dialogue) -> tuple[str, str]:
    *before, last = [Segment(text, 0.0) for text in dialogue.finals]
    last.asks = judge(last.text, dialogue.language)
    assert last.asks.is_question, dialogue
    return phrase([*before, last], last.asks)


@pytest.mark.parametrize("dialogue", LEANING, ids=lambda dialogue: dialogue.finals[-1])
def test_a_question_that_cannot_stand_alone_takes_what_it_is_about(dialogue: Dialogue) -> None:
    text, _ = asked_of(dialogue)
    assert dialogue.about in text


@pytest.mark.parametrize("dialogue", STANDING, ids=lambda dialogue: dialogue.finals[-1])
def test_a_question_that_says_what_it_is_about_goes_alone(dialogue: Dialogue) -> None:
    text, context = asked_of(dialogue)
    assert text == dialogue.finals[-1]
    assert context == " ".join(dialogue.finals[:-1])
