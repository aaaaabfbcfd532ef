"""Words that lean on what was said before: a sentence that goes on, a question that cannot stand alone."""

from __future__ import annotations

import re
from itertools import islice
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
    "pt": word_set("de do da dos das para pra em no na com sem ou a ao sobre por se quando que"),
    "ru": word_set("в во на с со к о об от из за для без или и если когда чтобы который которая которые"),
    "tr": word_set("ve ile için gibi olan"),
    "id": word_set("dari di ke untuk dengan yang dan atau pada tentang tanpa kalau karena"),
    "vi": word_set("của cho với và hoặc ở từ về nếu để khi"),
    "hi": word_set("का के की को में से पर और या"),
    "ar": word_set("من في على إلى عن مع أو بدون"),
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
        r"(?:那么?|还有|還有|那如果|至于|至於)?(?!.*(?:什么|什麼|怎么|怎麼|为什么|谁|誰|哪|几|幾|多少|吗"
        r"|嗎)).{1,10}呢[？?]?"
    ),
    "ja": re.compile(r"(?:では|じゃあ|それなら)?.{1,10}は[？?]?"),
    "ko": re.compile(r"(?:그럼|그러면)?\s*\S{1,10}(?:은|는)요?[？?]?"),
    "de": re.compile(r"und\s+(?!(?:was|wer|wo|wann|wie|warum|ist|sind|kann|haben|hat)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "fr": re.compile(r"et\s+(?!(?:que|qui|quoi|où|quand|comment|pourquoi|est)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "es": re.compile(r"¿?y\s+(?!(?:qué|que|quién|dónde|cuándo|cómo|cuánto|es|hay)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "it": re.compile(r"e\s+(?!(?:che|cosa|chi|dove|quando|come|perché|quanto|è|c'è)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "pt": re.compile(r"e\s+(?!(?:que|quem|onde|quando|como|quanto|qual|é|há|tem)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "ru": re.compile(r"а\s+(?!(?:что|кто|где|когда|как|почему|сколько|какой|есть|можно)\b)\w+(?:\s+\w+){0,3}\s*\??"),
    "tr": re.compile(r"(?:peki|ya)\s+\w+(?:\s+\w+){0,2}\s*\??"),
    "id": re.compile(r"(?:kalau|lalu|terus)\s+\w+(?:\s+\w+){0,3}\s*\??"),
    "vi": re.compile(r"(?:thế |vậy )?còn\s+\w+(?:\s+\w+){0,4}\s*\??"),
    "hi": re.compile(r"(?:और|तो)\s+\S+(?:\s+\S+){0,3}\s*\??"),
    "ar": re.compile(r"(?:و?ماذا عن|وفي|واذا|وإذا)\s+\w+(?:\s+\w+){0,3}\s*[?؟]?"),
}
# A question about something that it does not name: "how much is it", "why", "这个多少钱".
_LEANS: Final = {
    "en": re.compile(
        r"(?s)^(?:(?:.*\W)?(?=[hiost])(?:(?<!time is )(?:it|they|them|he|she|him|her|ones?)(?:\s+[a-z]+)?"
        r"|(?:this|that|these|those|there)"
        r"(?:\s+(?:mean|means|work|works|cost|costs|happen|happens|take|takes|possible|true|right|free|included))?)"
        r"|(?:(?:and|but|so|okay|ok)\s+)*(?:why|how|when|where|who|which|what|how (?:so|come|much|many|long|often|far)"
        r"|since when|like what|such as)(?:\s+(?:not|exactly|then|again))?)\W*$"
    ),
    "zh": re.compile(
        r"^(?:那么?|请问|請問)?(?:它们?|他们?|她们?|[这那這][个些個]?)(?:的?(?:价格|時間|时间))?(?:是|要"
        r"|会|會|能|可以|怎么|怎麼|多|什么"
        r"|什麼|为什么|為什麼|有|贵|貴|好|呢|吗|嗎)|(?:它|[这那這][个些個])(?:呢|吗|嗎|啊)?\W*$"
        r"|^(?:那|请问|請問)?(?:为什么|為什麼|怎么办|怎麼辦|怎么做|怎麼做|多少钱|多少錢|多久|什么意思"
        r"|什麼意思|什么时候|什麼時候|哪个|哪個|谁|誰)"
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
    "pt": re.compile(r"\b(?:isso|isto|ele|ela|eles|elas|esse|essa)\W*$|^\W*(?:por que|como|quanto|quando|onde)\W*$"),
    "ru": re.compile(r"\b(?:это|он|она|оно|они|его|её|их)\W*$|^\W*(?:почему|как|сколько|когда|где|зачем)\W*$"),
    "tr": re.compile(r"^(?:bu|o|şu|bunu|onu|bunun|onun)\b|^\W*(?:neden|niye|nasıl|kaç|ne zaman|nerede)\W*$"),
    "id": re.compile(r"\b(?:itu|ini|dia|mereka)\W*$|^\W*(?:kenapa|bagaimana|berapa|kapan|di ?mana)\W*$"),
    "vi": re.compile(r"\b(?:nó|này|đó|ấy|kia)\b|^\W*(?:tại sao|vì sao|bao nhiêu|khi nào|ở đâu|thế nào)\W*$"),
    "hi": re.compile(r"^(?:यह|वह|ये|वे|इसका|इसकी|उसका|उसकी|इसके|उसके)\s|^\W*(?:क्यों|कैसे|कितना|कब|कहाँ)\W*$"),
    "ar": re.compile(r"(?:ذلك|هذا|هذه|هو|هي)\W*$|^\W*(?:لماذا|كيف|كم|متى|أين)\W*$"),
}
# What asks only because an answer went before: "and in winter", "und für kinder".
_ELLIPTIC: Final = {
    "en": re.compile(
        r"(?:(?:and|but|or|so|okay|ok|then)\s+)+(?:(?:in|on|at|for|with|without|by|from|after|before|during"
        r"|under|near|until)"
        r"\s+(?!(?:so|then|that|me|i|we|they|he|she|it)\b)|(?:the|a|an|my|our|your|these|those|this|next"
        r"|last)\s+(?!rest\b))"
        r"(?:(?!(?:is|was|are|were|has|have|had|did|do|i|we|they|he|she|it|you|said|says|went|came"
        r"|got)\b)\w+(?<!\w\wed)\s*){1,3}"
        r"|(?:(?:and|but|or|so)\s+)+if\s+(?:it|i|you|we|they|he|she)\s+\w+(?:\s+\w+){0,2}"
        r"|(?:and\s+)?(?:the )?same for\s+\w+(?:\s+\w+)?|and\s+(?:you|now|tomorrow|today|then what)"
    ),
    "zh": re.compile(r"(?:那么?|如果|要是|还有|還有)[^我你他她不是了的就]{1,6}"),
    "ja": re.compile(r"(?:では|じゃあ|それなら)\S{1,8}"),
    "de": re.compile(
        r"(?:und|aber|oder)\s+(?:im|in|für|am|mit|ohne|bei|nach|vor|zu|an|der|die|das|den|meine?|morgen"
        r"|heute)(?:\s+(?!ist|sind|war"
        r"|hat|haben|kann|fahren|gehen|wir|ich|sie|er|es|dann)\w+){0,3}"
    ),
    "fr": re.compile(
        r"(?:et|mais|ou)\s+(?:en|pour|avec|sans|à|au|aux|le|la|les|dans|chez|demain|après)(?:\s+(?!est|sont"
        r"|a|ont|était|je|il|on|nous|c)"
        r"[\w']+){1,3}"
    ),
    "es": re.compile(
        r"(?:y|pero|o)\s+(?:en|para|con|sin|el|la|los|las|si|a|al|por|mañana)(?:\s+(?!es|está|son|era|fue|ha"
        r"|me|se|yo)\w+){1,3}"
    ),
    "it": re.compile(
        r"(?:e|ma|o)\s+(?:in|per|con|senza|il|la|i|le|gli|nel|a|al|domani)(?:\s+(?!è|sono|era|ha|mi|si|io"
        r"|basta)\w+){1,3}"
    ),
}
# Words that point at what was asked just before: "can i extend it", "他们几点开门".
_POINTS: Final = {
    "en": re.compile(
        r"^(?:and )?or\b|\b(?:it|its|they|them|their|he|him|his|she|her|this|these|those|ones?|that(?!"
        r" (?:is|are|was|has|have)\b)"
        r"|(?<!is )(?<!are )(?<!was )(?<!were )there|the (?:same|other|difference)|else|instead)\b"
    ),
    "zh": re.compile(
        r"它|他|她|[这那這其此](?!里|裡)|还有|還有|同样|同樣|另外|区别|區別"
        # the subject is the one before
        r"|^(?:还|還|也|或者|还是|還是)?(?:有|是|能|可|会|會|要|需|怎么|怎麼|多少|多久|几|幾|什么|什麼"
        r"|哪|贵|貴|为什么|為什麼|人均|评分|票价|周边|周邊|附近|旁边|旁邊)"
    ),
    "ja": re.compile(r"[そこあ]れ|[そこあ]の|そこ|ここ|また"),
    "ko": re.compile(r"그거|그건|그게|그것|이거|이건|이게|이것|거기|(?:^|\s)그\s"),
    "de": re.compile(
        r"^oder\b|\b(?:es|er|(?:ich|man|wir|du) sie|ihn|ihm|dies\w*|jene\w*|da(?:mit|von|für|zu|rauf|ran|bei"
        r"|rin)|dort|denn"
        r"|das(?! \w+\w))\b"
    ),
    "fr": re.compile(
        r"^ou\b(?! est)|\b(?:c'est|(?:me|te|nous|vous) l'(?=\w)|elles?|ils?(?! (?:y a|faut|existe))|ça|cela"
        r"|celui|celle|ce(?:t|tte|s)"
        r"|leur|lui|en|le faire)\b"
    ),
    "es": re.compile(
        r"^\W*(?:o|u|es|son|está|están|sale|llega|cuesta|incluye)\b|\b(?:es[oae]s?|est[oae]s?|él|ella|ellos"
        r"|ellas|lo|les|allí|ahí)\b"
    ),
    "it": re.compile(
        r"^(?:o|oppure|è|sono|costa|parte|arriva)\b|\b(?:quest[oaie]|quell[oaie]|ciò|lui|lei|loro|lo|ne|ci(?!"
        r" sono))\b"
    ),
    "pt": re.compile(
        r"^(?:ou|é|são|está|custa|sai)\b|\b(?:ele|ela|eles|elas|isso|isto|aquilo|ess[ea]s?|est[ea]s?|o mesmo"
        r"|lá|ali)\b"
    ),
    "ru": re.compile(r"^или\b|\b(?:он|она|оно|они|его|её|ему|ей|их|им|это|этот|эта|эти|там|туда|тот|та)\b"),
    "tr": re.compile(r"\b(?:o|onu|ona|onun|onlar\w*|bu|bunu|buna|bunun|bunlar\w*|orada|oraya|aynı)\b"),
    "id": re.compile(r"\b(?:itu|ini|dia|mereka|nya|tersebut|sana)\b"),
    "vi": re.compile(r"\b(?:nó|này|đó|ấy|kia|chúng nó|họ)\b"),
    "hi": re.compile(r"(?:^|\s)(?:यह|वह|ये|वे|इस\S*|उस\S*|वहाँ|वहां|इन\S*|उन\S*)(?=\s|$)"),
    "ar": re.compile(r"\b(?:هو|هي|هم|هذا|هذه|ذلك|تلك|هناك|\w+ه|\w+ها)\b"),
}
# Where two questions may be joined without a mark.
_JOINTS: Final = {
    "en": re.compile(r"[,\s]\s*(?:and|also|plus)\s+(?:also\s+|then\s+)?"),
    "zh": re.compile(r"(?<!\d)[,，、\s]+(?!\d)(?:还有|還有|以及|然后|然後)?|(?:还有|還有|以及)"),
    "ja": re.compile(r"[、,\s]+"),
    "ko": re.compile(r",\s*|\s(?:그리고|또)\s"),
    "de": re.compile(r"[,\s]\s*und\s+"),
    "fr": re.compile(r"[,\s]\s*et\s+"),
    "es": re.compile(r"[,\s]\s*y\s+"),
    "it": re.compile(r"[,\s]\s*e\s+"),
    "pt": re.compile(r"[,\s]\s*e\s+"),
    "ru": re.compile(r"[,\s]\s*(?:и|а)\s+"),
    "tr": re.compile(r"[,\s]\s*ve\s+"),
    "id": re.compile(r"[,\s]\s*dan\s+"),
    "vi": re.compile(r"[,\s]\s*và\s+"),
    "hi": re.compile(r"[,\s]\s*और\s+"),
    "ar": re.compile(r"[،,\s]\s*و(?=هل |ما |كم |أين |متى |كيف )"),
}
# "Explain the difference" says more of the question before it; "tell me about the castle" is a question of its own.
_OWN_REQUEST: Final = {
    "en": re.compile(r"\b(?:about|what|how|when|where|who|why|which)\b"),
    "zh": re.compile(r"什么|什麼|怎么|怎麼|谁|誰|哪|几|幾|多少|为什么|為什麼|如何"),
}
# A question of so few words, or characters where there are no spaces, is not asked by itself beside another one.
_FEW: Final = 2
_FEW_UNSPACED: Final = 3
_UNSPACED: Final = frozenset({"zh", "ja"})
# A word, or what of it stands behind its marks.
_SAID: Final = re.compile(r"[^\W_]\S*")
# Languages that ask in two words: "где вокзал".
_SHORT: Final = frozenset({"ru", "tr", "ar", "id", "ko"})
# So many joints of a sentence are looked at.
_MOST_JOINTS: Final = 3
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


def is_elliptic(text: str, language: str) -> bool:
    """Whether `text` is no sentence, and asks only right after an answer: "and in winter"."""
    text = text.strip().lower()
    known = _ELLIPTIC.get(language)
    return known is not None and len(text) <= _MAX_FOLLOW_UP and known.fullmatch(text) is not None


def leans_on(question: str, language: str, *, is_request: bool = False) -> bool:
    """Whether a question is one with the question just before it: "how long is it and can i extend it"."""
    question = question.strip().lower()
    if is_request and not (language in _OWN_REQUEST and _OWN_REQUEST[language].search(question)):
        return True
    points = _POINTS.get(language)
    return points is None or points.search(question) is not None or follows_up(question, language)


def is_small(question: str, language: str, *, by_mark: bool = False) -> bool:
    """Whether it is too short to be asked beside another one: "hello?"; by its mark alone, twice as long."""
    few = (2 if by_mark else 1) * (_FEW_UNSPACED if language in _UNSPACED else 1 if language in _SHORT else _FEW)
    words = filter(str.isalnum, question) if language in _UNSPACED else _SAID.finditer(question)
    return sum(1 for _ in islice(words, few + 1)) <= few


def joints(text: str, language: str) -> list[tuple[int, int]]:
    """Where two questions may be joined in one sentence."""
    if language not in _JOINTS:
        return []
    lowered = text.lower()
    # Of some letters there are more in lower case: their places would be others.
    found = _JOINTS[language].finditer(lowered if len(lowered) == len(text) else text)
    return [each.span() for each in islice(found, _MOST_JOINTS)]
