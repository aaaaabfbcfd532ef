"""German: the verb or a question word comes first; "oder" and "nicht wahr" come last."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import Finding, plain, without, word_set

_PRONOUN: Final = r"(?:ich|du|er|sie|es|wir|ihr|man|sich|mir|mich|ihnen|dir|uns)"
_WH: Final = (
    r"(?:was|wer|wen|wem|wessen|wo|wohin|woher|wann|warum|wieso|weshalb|weswegen|wie|wieviel|wieviele"
    r"|welche[rsnm]?|womit|wofür|wovon|woran"
    r"|worum|worauf|wodurch|wozu|worüber|wonach|inwiefern|inwieweit)"
)
_LEAD: Final = re.compile(
    rf"(?:(?:dann|jetzt|so|nun) (?={_WH} ))?"
    r"(?:(?:ja|gut|also|und|mhm|mh|hm|äh|ähm|öh|okay|ok|nein|nee|aber|na|ach|tja|oh|ah|naja|alles klar"
    r"|hallo|guten tag|guten morgen"
    r"|danke|danke schön|vielen dank|schön|prima|super|klar|genau|entschuldigung|entschuldigen sie|bitte"
    r"|sagen sie mal|sag mal"
    r"|moment|ich meine|oder|sondern|das heißt|übrigens|ne|eh|hör mal|fein|wunderbar|tut mir leid"
    r"|(?:frau|herr) [a-zäöüß]+) )*"
    # These put the verb first in statements too: "dann gibt es ...".
    rf"(?:(?:so|dann|jetzt|nun|denn) (?={_WH} ))?"
)
_VERB: Final = (
    r"(?:ist|sind|war|waren|wird|werden|wurde|würde|würden|würdest|hat|haben|hast|habt|hatte|hatten|hätte"
    r"|hätten|hättest|kann|kannst|können|könnt"
    r"|könnte|könnten|könntest|muss|muß|musst|müssen|müßte|müsste|müssten|soll|sollen|sollst|sollte"
    r"|sollten|darf|darfst|dürfen|dürfte|dürften"
    r"|will|willst|wollen|wollt|wollte|wollten|möchte|möchten|möchtest|mag|magst|mögen|wäre|wären|gibt"
    r"|gäbe|geht|gehen|ging|ginge|gehst|steht|sieht|schaut"
    r"|weiß|weißt|wissen|wissts|wüßten|wüssten|kennst|kennen|kommt|kommen|kommst|macht|machen|machst|heißt"
    r"|bedeutet|kostet|kosten|dauert|fährt|fahren|fährst"
    r"|braucht|brauchen|brauchst|paßt|passt|passen|denken|denkst|glauben|glaubst|meinen|meinst|meint"
    r"|finden|findest|liegt|liegen|funktioniert|bin|bist|seid"
    r"|nehmen|nimmt|nimmst|treffen|bleiben|bleibt|spricht|spreche|sprechen|sprichst|halten|hält|hältst"
    r"|sagen|sagst|sagt|interessiert|interessieren|gefällt|läuft"
    r"|bevorzugen|wünschen|reicht|stimmt|fängt|beginnt|endet|öffnet|schließt|gehört|gilt|tut|tun|lebt"
    r"|leben|wohnt|wohnst|wohnen|arbeitet|arbeiten|arbeitest|bekomme|bekommen"
    r"|bekommt|bietet|bieten|buchen|hilft|lohnt|stehen|suchen|sucht|suchst|brauche|unterscheidet|entsteht"
    r"|reisen|fliegen|fliegt|legen|machst|wirst|mußt|isst|trinkst)"
)
_WH_FRONT: Final = re.compile(
    rf"(?:(?:um|an|ab|bis|von|mit|für|zu|in|auf|aus|bei|nach|seit|über|gegen|durch|unter|wegen) )?(?:{_WH}"
    rf"|so viel)(?: (?!{_PRONOUN} |der |die |das |den )[^\W\d_]+){{0,4}}? {_VERB}\b"
    rf"|(?:{_WH})$|(?:um|an|ab|bis|von|mit|für|zu|in|auf|aus|bei|nach|seit) (?:wieviel|welche[rsnm]?|was"
    rf"|wem|wen|wann|wo)\b(?!.* (?:{_PRONOUN}|der|die|das) )"
    r"|(?:wie|was) (?:wär's|wär|geht's|gibt's|ist's|sieht's|schaut's)\b|wie viele?\b|wie (?:lange?|spät"
    r"|teuer|weit|groß|alt|hoch|oft|viel)$|was für\b|warum nicht|wie bitte$|wer (?!weiß|das|die|den|sich"
    r"|nicht|auch|immer|es|ich|sie)[^\W\d_]+(?:t|te)\b"
)
_WH_CLAUSE: Final = re.compile(
    rf"(?:{_WH}) (?:{_PRONOUN}|der|die|das|ein|eine|gesagt|immer)\b(?!.*\b(?:denn)\b)|wie gesagt|was auch"
    rf"|wer weiß|wie schön|was für ein (?:schöner|toller|schreckl)"
)
_INVERSION: Final = re.compile(
    r"(?:haben|hätten|können|könnten|wollen|wollten|möchten|würden|wissen|wüßten|wüssten|kennen|müssen"
    r"|müssten|müßten|sollen|sollten|dürfen|sind|waren|wären|werden|gehen|kommen|fahren|brauchen"
    r"|denken|glauben|meinen|finden|nehmen|sprechen|bevorzugen|wünschen|legen|bekommen|suchen|sehen|hatten"
    r"|mögen|reisen|fliegen|bleiben|treffen|interessieren|arbeiten|wohnen|halten) sie\b(?! mal$)"
    r"|(?:hast|kannst|könntest|willst|möchtest|würdest|weißt|kennst|musst|mußt|sollst|solltest|darfst|bist"
    r"|warst|wirst|gehst|kommst|fährst|brauchst|denkst|glaubst|meinst|findest|nimmst|magst|hattest|hättest"
    r"|machst|siehst|wohnst|arbeitest) du\b"
    r"|(?:habt|könnt|wollt|möchtet|seid|wisst|kommt|geht|macht|müsst) ihr\b"
    r"|(?:sollen|sollten|wollen|müssen|dürfen) wir\b|(?:können|könnten) wir\b(?!.* (?:machen|nehmen|tun"
    r"|sagen|festhalten|gehen|treffen)$)|(?:sind|ist) [^\W\d_]+ (?:[^\W\d_]+ ){0,2}(?:erlaubt|möglich"
    r"|verfügbar|frei|offen|nötig|verboten|inbegriffen|enthalten|kostenlos|vorhanden|bekannt|gestattet)$"
    r"|(?:soll|darf|muss|muß) ich\b|(?:kann|könnte|darf|muss|muß|soll) man\b"
    r"|(?:ist|sind|war|waren|wäre|wären|ginge|geht|gibt|gäbe|hat|hatte|kann|wird|paßt|passt|stimmt|reicht"
    r"|sieht|kostet|kommt|fährt|liegt|funktioniert|klappt|würde|würd|läge|steht|bleibt|braucht|beginnt"
    r"|dauert|heißt|gilt|muss|muß|soll|könnte|müßte|müsste|lohnt) "
    r"(?:es|das|der|die|da|er|ihnen|dir|sich|denn|dieser|diese|dieses|ihr|ihre|dein|deine|mein|unser|eine?"
    r"|jemand|noch|schon|hier|man|bei)\b"
    r"|sagt (?:ihnen|dir) \w|wie wär"
)
# Topic drop: "(das) ist die beste idee", "(das) geht auch", "(da) hat der zug ..."
_NOT_INVERSION: Final = re.compile(
    r"(?:geht|ist|war|wäre|ginge|hat|liegt|kommt|fährt|steht|kostet|hätte|würde|paßt|passt) (?:schon|auch"
    r"|noch|die|der|da|eine?|bei|hier|dann)\b(?!.*\b(?:denn|möglich|frei|geöffnet|recht|offen|da|gut"
    r"|verfügbar|richtig)$)"
    r"|(?:kommen|gehen|nehmen|legen|fahren|sehen|treffen|halten) sie (?:bitte|doch|mal|das|herein|gut|mir"
    r"|sich)\b"
)
_REQUEST: Final = re.compile(
    r"(?:(?:sag|sage|sagen sie|erklär|erkläre|erklären sie|erzähl|erzähle|erzählen sie|nenn|nenne|nennen"
    r" sie|zeig|zeige|zeigen sie|gib|geben sie|empfiehl|empfehlen sie|beschreib|beschreibe|beschreiben sie"
    r"|verrate|verraten sie|hilf|helfen sie|teilen sie|lies) (?:mir|uns|mal|bitte|doch|kurz)\b"
    r"|(?:erkläre?|beschreibe?|definiere?|vergleiche?|übersetze?|nenne|berechne|erläutere?|fass|fasse"
    r"|suche?|finde|liste|empfiehl) (?!ich\b)\w"
    r"|(?:können|könnten|würden) sie (?:mir|uns|das|mal|bitte|denn|da|vielleicht|einmal|kurz|noch|ein|eine"
    r"|\w+){0,1} ?(?:\w+ ){0,6}(?:sagen|nennen|erklären|empfehlen|erläutern|zeigen|geben|beschreiben"
    r"|helfen|vorschlagen|erzählen)$"
    r"|(?:ich|wir) (?:möchte|möchten|würde|würden|will|wollen|wollte|wollten|hätte|hätten|muss|muß) (?:\w+"
    r" ){0,4}(?:wissen|fragen|erfahren|erkundigen)\b|mich (?:würde|interessiert|interessieren)\b"
    r"|ich (?:wüsste|wüßte) (?:gern|gerne)\b|(?:meine|die|eine|noch eine) frage (?:ist|wäre|wär)\b|ich"
    r" frage mich\b|ich habe (?:mal |noch )?eine frage\b.{6})"
)
_COMMAND: Final = re.compile(
    r"(?:(?:können|könnten|würden) sie|(?:kannst|könntest|würdest) du) (?:\w+ ){0,6}(?:anmachen|ausmachen"
    r"|einschalten|ausschalten|öffnen|schließen|spielen|abspielen|anrufen|stoppen|löschen|starten|stellen"
    r"|wecken|bestellen|leiser|lauter)$"
    r"|(?:mach|schalte?|stell|stelle|spiel|spiele|öffne|schließ|schließe|ruf|rufe|stopp|lösche?|starte?"
    r"|weck|wecke|bestell|bestelle) \w"
)
_MID: Final = re.compile(
    rf" (?:{_WH}) (?:ist|sind|kann|können|könnte|könnten|wäre|wären|soll|sollen|würde|würden|hätten|haben"
    rf"|möchten|kostet|geht|sieht|heißt|war) (?:sie|du|wir|ich|es|das|denn|der|die|man|da|ihnen)\b"
    r"| (?:haben|hätten|können|könnten|möchten|wissen|würden|kennen) sie (?!.*(?:haben|können|möchten"
    r"|gesagt)$)| (?:hast|kannst|weißt|willst|möchtest) du "
)
_NOT_MID: Final = re.compile(
    r"\b(?:weiß|wissen|sehen|schauen|gesagt|daß|dass|ob|wenn|das|da|dann|dort|hier|so|wie|was|wo|die|der"
    r"|den|dem|also|nicht|auch|vielleicht|jetzt|oder|damit|und|uhr|juli|zeit|noch|natürlich|gerne)$"
)
_TAG: Final = re.compile(
    r".+ (?:oder|nicht wahr|nich wahr|ne|gell|gelt|stimmt das|stimmt's|oder nicht|oder was|oder doch"
    r"|richtig|nicht|oder wie|oder so nicht)$(?<!oder so oder)(?<! nicht)|.+ nicht wahr$"
)
_BACKCHANNEL: Final = re.compile(
    r"(?:(?:ja|echt|wirklich|ach|so|oh|nein|mhm|aha|okay|gut|genau|stimmt|ach so|tatsächlich|ehrlich|na"
    r"|gell|ne|nicht wahr|oder)(?: |$)){1,6}$"
)
# Not prepositions that are also the parted half of a verb: "mach das licht aus".
_OPEN_END: Final = word_set(
    "der die den dem des ein eine einen einem einer mein meine meinen ihr ihre ihren unser unsere und oder"
    " aber weil dass daß ob wenn zum zur im am beim"
    " von vom für über unter zwischen durch gegen ohne sehr mir denn"
)
_UNFINISHED: Final = re.compile(
    rf"(?:{_WH} (?:ist|sind|kann|können|könnte|soll|sollen|muss|muß|müssen|möchten|würden|haben|hat)(?:"
    rf" (?:ich|man|wir))?|(?:können|könnten|kannst|möchten|würden|haben|hast) (?:sie|du|wir)(?: (?:mir|uns"
    rf"|bitte|mal))*|(?:sag|sagen sie|erkläre|erklären sie|zeig|nenne) (?:mir|uns))$"
)


def decide(sentence: str) -> Finding:
    """Judge one sentence by its words alone."""
    text = plain(sentence)
    finding = _judge(text, without(_LEAD, text))
    last = text.rpartition(" ")[2]
    if finding.reason != "tag" and (last in _OPEN_END or _UNFINISHED.match(text)):
        return Finding(finding.reason, finding.confidence * 0.7, is_complete=False)
    return finding


def _judge(whole: str, text: str) -> Finding:
    if _BACKCHANNEL.match(whole):
        return Finding("backchannel", 0.8)
    if _REQUEST.match(text):
        return Finding("request", 0.85)
    if _COMMAND.match(text):
        return Finding("command", 0.85)
    if _WH_CLAUSE.match(text):
        return Finding("relative", 0.7)
    if _WH_FRONT.match(text):
        return Finding("wh_front", 0.9)
    if _INVERSION.match(text) and not _NOT_INVERSION.match(text):
        return Finding("inversion", 0.85)
    if _TAG.match(whole):
        return Finding("tag", 0.7)
    for found in _MID.finditer(text):
        if not _NOT_MID.search(text, 0, found.start()):
            return Finding("inversion", 0.65)
    return Finding("statement", 0.85)
