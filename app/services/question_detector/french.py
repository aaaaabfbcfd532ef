"""French: est-ce que, question words in front or in their place, the verb before its pronoun."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import IN_FRONT, Finding, behind_a_call, plain, without, word_set

_LEAD: Final = re.compile(
    r"(?:(?:oui|non|bon|ben|bah|et|mais|ou|alors|donc|ok|okay|d'accord|euh|heu|ah|oh|eh bien|et bien|bien"
    r"|bonjour|bonsoir|salut|merci|s'il vous plaît|s'il vous plait|s'il te plaît|stp|svp|parfait|super"
    r"|très bien|pardon|excusez moi|excuse moi|dites moi|dis moi|tiens|voilà|voila|enfin|en fait|ensuite"
    r"|puis|maintenant|là|sinon|au fait|d'abord|avant|car|parce que|attends|attendez|monsieur|madame|ouais"
    r"|cool|hum|hein"
    r"|mmh|mmmh|j'ai compris|je vois|effectivement|en effet|après|par contre|justement|dis donc|dis|allez"
    r"|génial|exact|mademoiselle|mon ami|juste|hé|hep|hey|coucou|google|siri|alexa"
    r"|assistant|chatbot|bot) )+"
)
_INVERTED: Final = (
    r"(?:[^\W\d_]+ez vous|[^\W\d_]+ons nous|(?:as|es|vas|veux|peux|sais|dois|fais|viens|penses|crois|aimes"
    r"|connais|dis|cherches|trouves|voudrais|pourrais|aurais|serais|devrais|habites|préfères|parles|vois"
    r"|prends|comptes|souhaites|saurais) tu"
    r"|(?:puis|dois|suis|ai|pourrais|vais|devrais|peux|saurais|fais) je|(?:est|a|peut|faut|sera|serait|va"
    r"|doit|fait|sait|vaut|existe|suffit|veut|dit|pourrait|devrait|aurait|reste|vient|faudra|faudrait|sert"
    r"|avait|était|manque|prend|coûte) (?:t )?(?:il|elle|on|ce)"
    r"|y (?:a|aurait|avait) t il|(?:sont|ont|peuvent|doivent|vont|font|veulent|servent|étaient) (?:ils"
    r"|elles|ce)|êtes vous|faites vous|dites vous|est ce|faite vous)"
)
_EST_CE: Final = re.compile(
    r"\b(?:qu'est ce (?:que|qu'|qui)|(?<!qu')est ce (?:que|qu')|qu est ce|kes(?:k|que)|c'est quoi|c quoi)"
)
_WH_FRONT: Final = re.compile(
    r"(?:à|de|d'|en|avec|pour|par|sur|dans|chez|depuis|vers|contre|sous|jusqu'à) ?(?:quel|quelle|quels"
    r"|quelles|qui|quoi|où|quand|combien)\b(?! que\b)"
    rf"|(?:quel|quelle|quels|quelles) (?!que\b|dommage|chance|plaisir|horreur|bonheur|honneur|surprise"
    rf"|joie|honte|belle|beau|idiot|bonne idée|merveille|talent|temps de chien)\w"
    r"|(?:comment|combien|pourquoi|lequel|laquelle|lesquels|lesquelles)\b(?! (?:dire|vous dire|te dire)$)"
    rf"|(?:où|ou|quand|que|quoi|qui) (?:{_INVERTED})\b|où\b(?! que\b)"
    r"|ou (?:se trouve|est|sont|sont ils|je peux trouver|puis je|trouver)\b|quand (?:est|sera|aura"
    r"|commence|finit|arrive|part|sont)\b"
    r"|qui (?:est|a|va|sont|peut|fait|veut|sait|vous|t'|êtes|es|c'est|se|dirige|était|ont)\b|que (?:faire"
    r"|faut|dois|puis|peut|veut|se|signifie|pensez|penses|sont|deviens?|devient|c'est il|contient"
    r"|représente|penser)\b"
    r"|quoi (?:d'autre|de neuf|faire|comme|encore|exactement)\b|quoi$|où$|quand$|qui$|ou (?:puis|dois|peut"
    r"|faut) (?:je|on|il)\b"
)
_QU_CLAUSE: Final = re.compile(
    r"(?:comment (?:vous|tu|je|il|elle|ils|on|nous|ça) \w+ (?:est|c'est)\b|pourquoi pas$|quoi qu|qui plus"
    r" est|quand (?:vous|tu|je|il|elle|on|nous|ils|même|j'|c'est|le|la|les|un|une|même)\b|c'est"
    r" (?:pourquoi|comment|là où)\b)"
)
_IN_PLACE: Final = re.compile(
    r".+ (?:quoi|où|comment|combien(?: de \w+)?|pourquoi|quand|qui|lequel|laquelle|quel \w+|quelle \w+"
    r"|(?:fais|fait|faites|faire|font|cherche|veux|dis|veut|doit faire) (?:quoi|comment)(?: (?:\w+"
    r" ?){1,4})?|(?:vas|va|êtes|es|est|allez|trouve|habites?|habitez|sont) où(?: \w+){0,3})$"
    r"(?<!n'importe quoi)(?<!n'importe qui)(?<!n'importe où)(?<!n'importe comment)(?<!n'importe"
    r" quand)(?<!sais pas quoi)(?<!sais pas où)(?<!sais pas comment)(?<!sais pas pourquoi)(?<!sais pas"
    r" qui)(?<!sais pas quand)(?<!ou quoi)(?<!de quoi)(?<!voilà pourquoi)(?<!sait pas où)(?<!quoi"
    r" quoi)(?<!sais comment)(?<!sais où)(?<!sais pourquoi)"
)
_INVERSION: Final = re.compile(
    rf"(?:ne |n'|me |m'|te |t'|nous |vous |le |la |les |l'|y |en |lui |leur |en |ce |se |s'|vous en |m'en"
    rf" )?{_INVERTED}\b"
)
_REFLEXIVE: Final = re.compile(
    r"(?:ne )?(?:asseyez|taisez|dépêchez|servez|rendez|excusez|reposez|méfiez|amusez|rappelez|débrouillez"
    r"|adressez|dirigez|concentrez|installez|occupez|calmez|souvenez|inscrivez|préparez|renseignez|assurez"
    r"|lancez|voyez|présentez|connectez|tournez|levez|promenez|mettez|donnez|disons|dirigeons|retrouvons"
    r"|rendons|allons|voyons|retournez|équipez|munissez|référez) (?:vous|nous)\b"
    r"|peut être\b|est ce que je\b(?!.)"
)
_MID: Final = re.compile(
    r"(?<! vous)(?<! nous)(?<!^vous)(?<!^nous)(?<!ne vous)(?<!ne nous) (?:que |comment |où |quand "
    r"|pourquoi |en |y |ne |n'|m'|me |d'où )?(?:(?:que|comment|où|pourquoi|combien|quand) [^\W\d_]+(?:ez"
    r" vous|ons nous|s tu| t il| t on)|comment (?:je|on|il|vous|tu) (?:fais|fait|faut|doit|peut|peux|sais"
    r"|dois|faites|puis)|où (?:est|sont|se trouve|trouver)|(?:voulez|pouvez|pourriez|avez|savez|voudriez"
    r"|devez|connaissez|êtes|aimeriez|souhaitez|auriez|sauriez|pensez|croyez|désirez|comptez|faites"
    r"|cherchez) vous|(?:peux|veux|sais|as|es|pourrais|penses|crois|vas|connais|voudrais|dois) tu|(?:puis"
    r"|dois|pourrais|devrais) je|(?:faut|peut|doit|va|sera|est|a|y a|serait) t? ?(?:il|on)|est ce que|est"
    r" ce qu'il)\b"
)
_NOT_MID: Final = re.compile(
    r"(?:\b(?:que|qui|vous|nous|si|où|dont|ce|quand|lorsque|comme|c'|il|elle|ne|cela|ça|peut|on|aussi|sans"
    r" doute|ainsi|dit|peut être|en|j'ai|je l'ai|y)|')$"
)
_REQUEST: Final = re.compile(
    r"(?:(?:vous|tu) (?:pouvez|peux|pourriez|pourrais|voulez|voudriez) (?:bien )?(?:me|m'|nous|vous)(?:"
    r" ?)(?:l'|le |la |les |en )?(?:dire|expliquer|aider|donner|parler|indiquer|montrer|renseigner"
    r"|rappeler|décrire|préciser|répéter|conseiller|recommander|rendre|trouver)\b"
    r"|(?:dis|dites|explique|expliquez|donne|donnez|montre|montrez|indique|indiquez|raconte|racontez|parle"
    r"|parlez|rappelle|rappelez|décris|décrivez|résume|résumez|présente|conseille|conseillez|recommande"
    r"|recommandez|aide|aidez) (?:moi|nous|lui|la|le|les|en|un|une|ce|de)\b"
    r"|(?:définis|définissez|compare|comparez|traduis|traduisez|calcule|calculez|liste|listez|cherche moi"
    r"|trouve moi|trouvez moi)\b"
    r"|(?:je|j') ?(?:voudrais|aimerais|veux|souhaite|souhaiterais|cherche à|voulais|voudrai) (?:bien "
    r"|aussi |juste |en |vous )?(?:savoir|connaître|connaitre|comprendre|demander|apprendre|avoir (?:des"
    r"|plus d'|quelques|l')|des (?:informations|renseignements))"
    r"|je me demand(?:e|ais) (?:si|ce|comment|pourquoi|où|quand|qui|quel)|(?:ma|la|une) question (?:est"
    r"|c'est)\b|j'aurais (?:besoin (?:d'informations|de savoir|de renseignements)|une question|voulu"
    r" savoir)|pour savoir (?:si|s'|où|comment|quel)|faites moi savoir|en savoir plus sur"
    r"|(?:veuillez|merci de|pourriez vous|pouvez vous|peux tu|pourrais tu) (?:bien )?(?:me |m'|nous"
    r" )(?:dire|expliquer|aider|donner|parler|indiquer|montrer|renseigner|rappeler))"
)
_TAG: Final = re.compile(
    r".+ (?:n'est ce pas|pas vrai|hein|non|ou non|ou pas|c'est ça|c'est bien ça|c'est possible|d'accord ou"
    r" pas|peut être ou pas|pas encore|ou quoi|tu sais où|vous savez|tu crois|vous croyez)$(?<!mais"
    r" non)(?<!que non)(?<!oh non)(?<!ah non)(?<!euh non)(?<!merci non)(?<!non non)"
)
_DECLARATIVE: Final = re.compile(
    r"(?:vous|tu) (?:voulez|veux|(?:savez|sais) (?:où|si|comment|ce|qui|quel|quelle|pourquoi|combien"
    r"|quand)|connaissez|connais|pouvez|peux|venez|viens|avez (?:des|besoin|une|un|déjà|trouvé|compris"
    r"|fini|vu|bien|pas|d'autres)|as (?:des|besoin|une|un|déjà|trouvé|compris|fini|vu|bien|pas|d'autres)"
    r"|êtes (?:sûrs?|prêts?|certains?|bien|le|la|d'accord)|es (?:sûr|sûre|prêt|prête|certain|bien"
    r"|d'accord)|pensez|penses|croyez|crois|aimez|aimes|parlez|parles|aimerais|aimeriez|travaillez"
    r"|travailles|habitez|habites)\b(?!.*\b(?:voir|bien que)\b)"
    r"|ça (?:vous|t'|te) (?:intéresse|va|dit|plaît|plait|convient)|autre chose$|quelque chose d'autre"
    r"|encore (?:quelque chose|une question|des questions)|une idée|aucune idée (?:de|des|d')|on (?:fait"
    r"|doit|peut|va) (?:quoi|où|comment)|il (?:y a|existe) (?:d'autres|un autre|une autre|quoi|combien)|il"
    r" faut (?:faire )?(?:quoi|quel|combien|comment)"
    r"|et (?:ça|vous|toi|après|maintenant|ensuite)$"
)
_BACKCHANNEL: Final = re.compile(
    r"(?:(?:oui|ah|oh|bon|ok|vraiment|ah bon|c'est vrai|d'accord|non|hein|quoi|pardon|comment|sérieux"
    r"|ouais|n'est ce pas|ça va)(?: |$)){1,6}$"
)
_OPEN_END: Final = word_set(
    "le la les l' un une des du de d' à au aux en dans sur pour par avec sans chez et ou mais que qu' qui"
    " quel quelle quels quelles si comme ce cette ces mon ma mes votre vos ton ta son sa"
    " je j' ne n' me m' te se très"
)


_UNFINISHED: Final = re.compile(
    r"(?:quel(?:le)?s? (?:est|sont)|comment|où (?:est|sont)|qu'est ce qu[ei]|est ce que|(?:pouvez"
    r"|pourriez) vous|peux tu|pourrais tu|(?:dites|dis|expliquez|explique) moi|je (?:voudrais|veux)(?:"
    r" savoir)?|est ce qu'il y a)$"
)


def decide(sentence: str) -> Finding:
    """Judge one sentence by its words alone."""
    whole = plain(sentence).replace("l'on ", "on ")
    text = without(_LEAD, whole)
    finding = _judge(whole, text)
    if not finding.asks and (rest := behind_a_call(sentence)):
        asked = _judge(rest, without(_LEAD, rest))
        if asked.reason in IN_FRONT:
            finding, text = asked, rest
    if finding.reason not in {"tag", "wh_word", "backchannel"} and (
        text.rpartition(" ")[2] in _OPEN_END or _UNFINISHED.match(text)
    ):
        return Finding(finding.reason, finding.confidence * 0.7, is_complete=False)
    return finding


def _judge(whole: str, text: str) -> Finding:
    if _BACKCHANNEL.match(whole):
        return Finding("backchannel", 0.7)
    if _EST_CE.search(text):
        return Finding("particle", 0.95)
    if _REQUEST.match(text):
        return Finding("request", 0.85)
    if _QU_CLAUSE.match(text):
        return Finding("relative", 0.7)
    if _WH_FRONT.match(text):
        return Finding("wh_front", 0.9)
    if _INVERSION.match(text) and not _REFLEXIVE.match(text):
        return Finding("inversion", 0.9)
    if _IN_PLACE.match(text):
        return Finding("wh_word", 0.75)
    if _TAG.match(whole):
        return Finding("tag", 0.65)
    for found in _MID.finditer(text):
        if not _NOT_MID.search(text, 0, found.start()):
            return Finding("inversion", 0.75)
    if _DECLARATIVE.match(text):
        return Finding("declarative", 0.55)
    return Finding("statement", 0.85)
