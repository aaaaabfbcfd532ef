"""Which rules to read a text with: what the sender says, corrected by the script; else the small words."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from app.models.verdicts import LANGUAGES

UNKNOWN: Final = "und"
_LATIN: Final = ("en", "es", "fr", "it", "de", "pt", "tr", "id", "vi")
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
        "pt": "por",
        "ru": "rus",
        "tr": "tur",
        "id": "ind",
        "vi": "vie",
        "hi": "hin",
        "ar": "ara",
    }.items()
    for alias in aliases.split()
}

_SCRIPTS: Final = {
    "ja": re.compile("[\u3041-\u30ff\uff66-\uff9d]"),
    "ko": re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]"),
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
}
# Scripts of many languages: read as the one that has rules, unless the sender names another, or a letter does.
_SHARED: Final = re.compile("(?P<ru>[\u0400-\u052f])|(?P<hi>[\u0900-\u097f])|(?P<ar>[\u0600-\u06ff])")
_OF_ANOTHER: Final = re.compile("[\u0402-\u040f\u0452-\u045f\u0490-\u04ff\u0679-\u06bf\u06c1-\u06c3\u06cc\u06d2]")
_FOREIGN: Final = re.compile("[\u0370-\u03ff\u0590-\u05ff\u0980-\u0dff\u0e00-\u0e7f]")
# All of these and more: what has none of them, as most texts with an accent, needs no other look.
_NOT_LATIN: Final = re.compile("[\u0370-\u0e7f\u1100-\u11ff\u3041-\uff9d]")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")

# Frequent words; one that several languages have counts for each of them in part.
_LISTS: Final = {
    "en": "am right also favor come go let as us who been more all one get just like want need know use "
    "the and is are was were do does did you he she it we they what where when why how this that"
    " have has in a i an"
    " not of to with for my your can could will would should there if from about tell me yes please which"
    " any no on at or so but be",
    "es": "nadie siempre nunca voy vamos luego antes después ahora tuyo conmigo necesito favor dos tres "
    "pues tienen "
    "el la los las un una unos y es está están estoy qué que cuál cuáles dónde cuándo cuánto cuántos"
    " cuántas quién cómo por para pero de en no lo se su sus"
    " muy hay tiene tienes puede puedes quiero quieres quiere usted del al con sin esto eso ese era fue"
    " cuando donde cuanto como hola gracias a o mi mis tu te me"
    " sí más ser dime quisiera podría podrías hasta desde hacia sobre también este esta sabes eres son"
    " sale yo tú él ella nosotros ayer hoy mañana creo vivo"
    " verdad todo nada algo has he ha hace bien tren posible pagar vienes muchas hora",
    "fr": "me te ta ton tes sa ses leur notre par toujours jamais encore personne rien après avant dis dit "
    "vais alors bonne beau quelque chose autre donc allez ai as "
    "le la les un une des du de et est sont je tu il elle on nous vous ils elles qui que où quand"
    " comment pourquoi combien quel quelle"
    " quels quelles ne pas ce cette avec pour dans sur sous en à au aux mais ou oui non merci bonjour peux"
    " pouvez faut être avoir fait y demain"
    " ça c'est j'ai qu'est veux voulez moi mon ma mes votre vos très bien ah bon vraiment d'accord sais"
    " chez plus si se a tout près trouve",
    "it": "me te sei fa dopo sempre mai nessuno prima ancora già ne certo molta molti molte poco poca ogni "
    "tutti tutta tutte meno altro i "
    "il lo la gli le un una è e sono io tu lui lei noi voi loro che chi dove dov'è quando perché"
    " come quanto quanti quanta quale quali qual non no a o"
    " questo questa con per in di del della nel nella da dal ma sì grazie ciao puoi può potrebbe potresti"
    " vorrei ho hai ha abbiamo anche mi ti si ci vi al"
    " cosa cos'è cos c'è dimmi dei delle degli alla sai mia mio tua tuo sua va bene oggi ieri domani qui"
    " vero giusto davvero molto buon tutto vuoi vieni vedo siamo posso miei tuoi suoi visto vicino inverno il se"
    " spiegami",
    "pt": "acho te tu teu tua lhe mim nem só vem vai diz dá faz pois ainda nunca sempre depois antes agora "
    "então cada outro outra todo toda todos nada ninguém algo alguém quer quero bom boa dele dela "
    "meus minhas comigo vamos fechado aberto sai favor tudo "
    "o a os as um uma de do da dos das em no na nos nas que e é não com por para você vocês eu ele ela nós"
    " quem qual"
    " quais onde quando quanto quanta quantas quantos como isso este esta esse essa muito mais mas tem há"
    " está são ser foi"
    " sim obrigado obrigada sei sabe meu minha seu sua já até também pra ao à fica pode posso porque ou se"
    " me será cadê né"
    " tenho vou custa abre funciona podemos levar gente fala seja pena liga luz inverno sério museu servidor"
    " explica ontem hoje amanhã bem certo dia aqui lá",
    "tr": "haber ver onu bize beni seni onun sizin benim senin herkes burada orada tamam şimdi biraz her "
    "ki bile ise işte şey söyle mısınız musunuz müsünüz müsün "
    "bir bu şu ve de da mi mı mu mü ne nasıl nerede kim kaç hangi için ile çok var yok ben sen biz siz ama değil"
    " neden niye peki evet hayır lütfen saat bana daha en mısın misin musun gibi kadar sonra olan oldu"
    " ediyorum dün yarın"
    " bugün öyle sanırım kimse açık müzik kapı gerekiyor miyim miyiz diye bilmiyorum nereye kimde gelir"
    " gidiyor yapmam neler olur misiniz sabah kadar lazım gerek mıyım değil tren fiyat adres çay anahtar",
    "id": "aku kau mereka jangan nanti dulu banget cuma "
    "yang di ke dari dan ini itu apa apakah siapa kapan berapa bagaimana kenapa mengapa mana saya kamu anda"
    " dia kami kita"
    " tidak nggak gak belum sudah bisa boleh ada untuk dengan akan atau kalau karena pada tolong mau ingin"
    " ya juga sangat"
    " lagi adalah besok kemarin jelaskan ceritakan carikan nyalakan matikan tempat jam harga hari entah kan"
    " masa sih betapa harus sini bukan dia naik harganya membeli baru gimana kalian baik saja sekali minta"
    " ubah datang pagi masalahnya semuanya punya terima kasih atas dokter"
    " adakah bisakah bolehkah haruskah",
    "vi": "là có không gì ai đâu nào bao sao tại của và cho tôi bạn anh chị em này đó thì được phải với ở khi như"
    " mấy rồi chưa"
    " những các một rất cũng hãy vì để nhiêu thế còn hay giờ",
    "de": "uns mein dein kein keine alles nichts niemand jemand geht kommt bin bist gleich weil wenn dass mach "
    "habe wieder nur also guten tag frau herr uhr um ab genau klar vielleicht zwei drei vier "
    "der die das den dem des ein eine einen einem einer und ist sind war waren ich du er sie wir ihr"
    " es was wo wann in an"
    " wer warum wie welche welcher welches nicht mit für von zu auf im am bei auch aber oder ja nein bitte"
    " können so muss man hier"
    " kannst kann haben hat hast wird werden gibt mir mich dir dann noch schon sagen echt ach gut morgen"
    " heute gestern doch mal sehr dieses diese dieser bedeutet",
}
_OF_WORD: Final[dict[str, list[str]]] = {}
for _language, _words in _LISTS.items():
    for _word in _words.split():
        _OF_WORD.setdefault(_word, []).append(_language)
# What a word counts, and what of it for each of its languages.
_ONE: Final = math.lcm(*map(len, _OF_WORD.values()))
_WORDS: Final = {
    word: tuple((language, _ONE // len(languages)) for language in languages) for word, languages in _OF_WORD.items()
}
_ELIDED: Final = frozenset({"j", "qu", "n", "s", "t", "m"})
# A letter counts for each language that has it.
_LETTERS: Final[dict[str, list[str]]] = {}
for _language, _letters in {
    "es": "ñ¿¡áíóú",
    "de": "ßäöü",
    "fr": "çêœâîôû",
    "it": "òì",
    "pt": "ãõçáíóúêâô",
    "tr": "ğşıçöü",
    "vi": "ăđơưạảấầẩậắằẵặẹẻẽếềểễệỉịọỏốồổỗộớờởợụủứừửữựỳỷỹêâôáíóúã",
}.items():
    for _letter in _letters:
        _LETTERS.setdefault(_letter, []).append(_language)


def choose(text: str, hint: str | None) -> str:
    """A primary language subtag: one with rules, or else what the sender said, or `und`."""
    told = _primary(hint)
    has_other_letters = not text.isascii() and _NOT_LATIN.search(text) is not None
    if has_other_letters:
        if (script := _of_script(text, told)) is not None:
            return script
        if (shared := _SHARED.search(text)) is not None:
            if told and told not in LANGUAGES:
                return told
            return UNKNOWN if not told and _OF_ANOTHER.search(text) else str(shared.lastgroup)
    if told in _LATIN:
        return told
    is_other = told in LANGUAGES
    if has_other_letters and _FOREIGN.search(text):
        return told if told and not is_other else UNKNOWN
    if told and not is_other:
        return told
    return _of_words(text)


@lru_cache(256)
def _primary(hint: str | None) -> str:
    subtag = (hint or "").strip().replace("_", "-").partition("-")[0].lower()
    subtag = _SAME.get(subtag, subtag)
    return subtag if 2 <= len(subtag) <= 3 and subtag.isascii() and subtag.isalpha() and subtag != UNKNOWN else ""


def _of_script(text: str, told: str) -> str | None:
    scripts = [script for script, sign in _SCRIPTS.items() if sign.search(text)]
    if told in scripts or (told == "ja" and "zh" in scripts):
        return told
    return next(iter(scripts), None)


def _of_words(text: str) -> str:
    scores = dict.fromkeys(_LATIN, 0)
    lowered = text.lower()
    for word in _WORD.findall(lowered):
        if "'" in word and word.partition("'")[0] in _ELIDED:
            scores["fr"] += _ONE
        for language, share in _WORDS.get(word, ()):
            scores[language] += share
    if not text.isascii():
        for letter in lowered:
            for language in _LETTERS.get(letter, ()):
                scores[language] += _ONE
    # English comes first in the table, and so it wins a draw.
    return max(scores, key=scores.__getitem__)
