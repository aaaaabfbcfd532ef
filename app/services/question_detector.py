"""Tells whether a piece of speech asks something, in English or Chinese, with or without punctuation."""

from __future__ import annotations

import regex

# What people say before they come to the point.
_LEAD = regex.compile(
    r"^(?:(?:so|well|okay|ok|and|but|um|uh|hey|hi|hello|now|right|yeah|yes|no|oh|please|excuse me|i mean|you know)"
    r"[\s,.!]+)+"
)
_WH = r"(?:what|who|whom|whose|which|where|when|why|how)"
_AUXILIARY = (
    r"(?:is|are|was|were|am|do|does|did|have|has|had|can|could|will|would|shall|should|may|might|must|"
    r"isn't|aren't|wasn't|weren't|don't|doesn't|didn't|haven't|hasn't|can't|couldn't|won't|wouldn't|shouldn't)"
)
_SUBJECT = (
    r"(?:i|you|he|she|it|we|they|there|this|that|these|those|the|a|an|my|your|his|her|its|our|their|any|"
    r"anyone|anybody|someone|somebody)"
)

_ENGLISH = regex.compile(
    rf"^(?:{_WH}(?:'s|'re)\b"
    rf"|{_WH}(?:\s+\w+){{0,3}}?\s+{_AUXILIARY}\b"
    r"|how (?:about|come|to|many|much|long|far|often|old)\b|what (?:about|if)\b"
    rf"|{_AUXILIARY}\s+{_SUBJECT}\b"
    r"|(?:please )?(?:tell|show|explain|describe|remind)\b (?:to )?(?:me|us)\b"
    r"|(?:please )?(?:explain|describe)\b"
    r"|(?:i'd|i would) (?:like|love) to (?:know|hear|ask)\b|i want to know\b|do you know\b)"
)
# A clause that only begins like a question: "what i like is ...", "when we are done ...".
_CLAUSE = regex.compile(rf"^(?:when|while|where|what|which|who|how)\s+{_SUBJECT}\s")

_HAN = regex.compile(r"\p{Han}")
_CHINESE_END = regex.compile(r"(?:[吗嗎]|[么麼]|\S呢)[。.!！]?$")
_CHINESE = regex.compile(
    r"(?P<a>\p{Han})[不没](?P=a)|有没有|是不是|能不能|可不可以"
    r"|什么(?!的|都|也)|甚麼|什麼|怎么|怎麼|怎样|怎樣|如何|为什么|為什麼|为何|哪[里裡儿个個些种種家位]|谁|誰|多少|几[点點个個天年月号號]|多[长長久远遠大高]"
    r"|^请?(?:帮我|给我)?(?:介绍|解释|说明|讲解|讲讲|说说)(?:一下)?|请问|請問|告诉我|告訴我"
)
_CHINESE_STATEMENT = regex.compile(r"没什么|沒什麼|不知道|知道.*(?:什么|怎么|谁)|无论|不管|什么的")


def looks_like_question(text: str) -> bool:
    """Judge one final, or two that may belong together. A few hundred characters decide: longer text is cut."""
    text = text.strip()[-400:].lower()
    if text.endswith(("?", "？")):
        return True
    if _HAN.search(text):
        if _CHINESE_END.search(text):
            return True
        return bool(_CHINESE.search(text)) and not _CHINESE_STATEMENT.search(text)
    text = _LEAD.sub("", text.replace("’", "'"))
    return bool(_ENGLISH.match(text)) and not _CLAUSE.match(text)
