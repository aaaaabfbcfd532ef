"""Which rules to read a text with: what the sender says, corrected by the script; else the small words."""

from __future__ import annotations

import re
from typing import Final

UNKNOWN: Final = "und"
_LATIN: Final = frozenset({"en", "es", "fr", "it", "de"})
_SAME: Final = {
    alias: language
    for language, aliases in {
        "zh": "cmn yue wuu nan hak zho chi",
        "ja": "jpn",
        "ko": "kor",
        "en": "eng",
        "es": "spa",
        "fr": "fra fre",
        "it": "ita",
        "de": "deu ger",
    }.items()
    for alias in aliases.split()
}

_SCRIPT: Final = re.compile(
    "(?P<ja>[\u3041-\u30ff\uff66-\uff9d]+)|(?P<ko>[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]+)"
    "|(?P<zh>[\u3400-\u4dbf\u4e00-\u9fff]+)"
)
_FOREIGN: Final = re.compile("[\u0370-\u03ff\u0400-\u052f\u0590-\u06ff\u0900-\u0dff\u0e00-\u0e7f]")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")

# Frequent words; one that several languages have counts for each of them in part.
_LISTS: Final = {
    "en": "the and is are was were do does did you he she it we they what where when why how this that"
    " have has in a i an"
    " not of to with for my your can could will would should there if from about tell me yes please which"
    " any no on at or so but be",
    "es": "el la los las un una unos y es está están estoy qué que cuál cuáles dónde cuándo cuánto cuántos"
    " cuántas quién cómo por para pero de en no lo se su sus"
    " muy hay tiene tienes puede puedes quiero quieres quiere usted del al con sin esto eso ese era fue"
    " cuando donde cuanto como hola gracias a o mi mis tu te me"
    " sí más ser dime quisiera podría podrías hasta desde hacia sobre también este esta sabes eres son"
    " sale yo tú él ella nosotros ayer hoy mañana creo vivo"
    " verdad todo nada algo has he ha hace bien tren posible pagar vienes muchas hora",
    "fr": "le la les un une des du de et est sont je tu il elle on nous vous ils elles qui que où quand"
    " comment pourquoi combien quel quelle"
    " quels quelles ne pas ce cette avec pour dans sur sous en à au aux mais ou oui non merci bonjour peux"
    " pouvez faut être avoir fait y demain"
    " ça c'est j'ai qu'est veux voulez moi mon ma mes votre vos très bien ah bon vraiment d'accord sais"
    " chez plus si se a tout près trouve",
    "it": "il lo la gli le un una è e sono io tu lui lei noi voi loro che chi dove dov'è quando perché"
    " come quanto quanti quanta quale quali qual non no a o"
    " questo questa con per in di del della nel nella da dal ma sì grazie ciao puoi può potrebbe potresti"
    " vorrei ho hai ha abbiamo anche mi ti si ci vi al"
    " cosa cos'è cos c'è dimmi dei delle degli alla sai mia mio tua tuo sua va bene oggi ieri domani qui"
    " vero giusto davvero molto buon tutto vuoi vieni vedo siamo posso miei tuoi suoi visto vicino il se"
    " spiegami",
    "de": "der die das den dem des ein eine einen einem einer und ist sind war waren ich du er sie wir ihr"
    " es was wo wann in an"
    " wer warum wie welche welcher welches nicht mit für von zu auf im am bei auch aber oder ja nein bitte"
    " können so muss man hier"
    " kannst kann haben hat hast wird werden gibt mir mich dir dann noch schon sagen echt ach gut morgen"
    " heute gestern doch mal sehr dieses diese dieser bedeutet",
}
_WORDS: Final[dict[str, list[str]]] = {}
for _language, _words in _LISTS.items():
    for _word in _words.split():
        _WORDS.setdefault(_word, []).append(_language)
_ELIDED: Final = frozenset({"j", "qu", "n", "s", "t", "m"})
_LETTERS: Final = {
    letter: language
    for language, letters in {"es": "ñ¿¡áíóú", "de": "ßäöü", "fr": "çêœâîôû", "it": "òì"}.items()
    for letter in letters
}


def choose(text: str, hint: str | None) -> str:
    """A primary language subtag: one with rules, or else what the sender said, or `und`."""
    told = _primary(hint)
    script = _of_script(text, told)
    if script is not None:
        return script
    if told in _LATIN:
        return told
    if _FOREIGN.search(text):
        return told if told and told not in {"zh", "ja", "ko"} else UNKNOWN
    if told and told not in {"zh", "ja", "ko"}:
        return told
    return _of_words(text)


def _primary(hint: str | None) -> str:
    subtag = (hint or "").strip().replace("_", "-").partition("-")[0].lower()
    subtag = _SAME.get(subtag, subtag)
    return subtag if 2 <= len(subtag) <= 3 and subtag.isascii() and subtag.isalpha() and subtag != UNKNOWN else ""


def _of_script(text: str, told: str) -> str | None:
    if text.isascii():
        return None
    scripts = {found.lastgroup for found in _SCRIPT.finditer(text)}
    if not scripts:
        return None
    if told in scripts:
        return told
    if told == "ja" and "zh" in scripts:
        return "ja"
    return next(script for script in ("ja", "ko", "zh") if script in scripts)


def _of_words(text: str) -> str:
    scores = dict.fromkeys(("en", "es", "fr", "it", "de"), 0.0)
    lowered = text.lower()
    for word in _WORD.findall(lowered):
        languages = _WORDS.get(word, ())
        head, apostrophe, _ = word.partition("'")
        if apostrophe and head in _ELIDED:
            scores["fr"] += 1
        for language in languages:
            scores[language] += 1 / len(languages)
    if not text.isascii():
        for letter in lowered:
            if letter in _LETTERS:
                scores[_LETTERS[letter]] += 1.0
    # English comes first in the table, and so it wins a draw.
    return max(scores, key=lambda language: scores[language])
