"""German: the verb or a question word comes first; "oder" and "nicht wahr" come last."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import word_set
from app.services.question_detector.table import Rule, Table

_PRONOUN: Final = r"(?:ich|du|er|sie|es|wir|ihr|man|sich|mir|mich|ihnen|dir|uns)"
_WH: Final = (
    r"(?:was|wer|wen|wem|wessen|wo|wohin|woher|wann|warum|wieso|weshalb|weswegen|wie|wieviel|wieviele"
    r"|welche[rsnm]?|womit|wofür|wovon|woran"
    r"|worum|worauf|wodurch|wozu|worüber|wonach|inwiefern|inwieweit)"
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

TABLE: Final = Table(
    lead=(
        r"ja|gut|also|und|mhm|mh|hm|äh|ähm|öh|okay|ok|nein|nee|aber|na|ach|tja|oh|ah|naja|alles klar",
        r"hallo|guten tag|guten morgen|danke|danke schön|vielen dank|schön|prima|super|klar|genau|entschuldigung",
        r"entschuldigen sie|bitte|sagen sie mal|sag mal|moment|ich meine|oder|sondern|das heißt"
        r"|übrigens|ne|eh|hör mal|fein|wunderbar|tut mir leid|(?:frau|herr) [a-zäöüß]+",
        # These put the verb first in statements too: "dann gibt es ...".
        rf"(?:so|dann|jetzt|nun|denn)(?= {_WH} )",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.8,
            "match_all",
            (
                r"(?:(?:ja|echt|wirklich|ach|so|oh|nein|mhm|aha|okay|gut|genau|stimmt|ach so|tatsächlich"
                r"|ehrlich|na|gell|ne|nicht wahr|oder)(?: |$)){1,6}$",
            ),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.85,
            "match",
            (
                r"(?:sag|sage|sagen sie|erklär|erkläre|erklären sie|erzähl|erzähle|erzählen sie|nenn|nenne"
                r"|nennen sie|zeig|zeige|zeigen sie|gib|geben sie|empfiehl|empfehlen sie|beschreib"
                r"|beschreibe|beschreiben sie|verrate|verraten sie|hilf|helfen sie|teilen sie|lies) (?:mir"
                r"|uns|mal|bitte|doch|kurz)\b",
                r"(?:erkläre?|beschreibe?|definiere?|vergleiche?|übersetze?|nenne|berechne|erläutere?|fass"
                r"|fasse|suche?|finde|liste|empfiehl) (?!ich\b)\w",
                r"(?:können|könnten|würden) sie (?:mir|uns|das|mal|bitte|denn|da|vielleicht|einmal|kurz|noch"
                r"|ein|eine|\w+){0,1} ?(?:\w+ ){0,6}(?:sagen|nennen|erklären|empfehlen|erläutern|zeigen"
                r"|geben|beschreiben|helfen|vorschlagen|erzählen)$",
                r"(?:ich|wir) (?:möchte|möchten|würde|würden|will|wollen|wollte|wollten|hätte|hätten|muss"
                r"|muß) (?:\w+ ){0,4}(?:wissen|fragen|erfahren|erkundigen)\b",
                r"mich (?:würde|interessiert|interessieren)\b",
                r"ich (?:wüsste|wüßte) (?:gern|gerne)\b",
                r"(?:meine|die|eine|noch eine) frage (?:ist|wäre|wär)\b",
                r"ich frage mich\b",
                r"ich habe (?:mal |noch )?eine frage\b.{6}",
            ),
        ),
        Rule(
            "command",
            "command",
            0.85,
            "match",
            (
                r"(?:(?:können|könnten|würden) sie|(?:kannst|könntest|würdest) du) (?:\w+ ){0,6}(?:anmachen"
                r"|ausmachen|einschalten|ausschalten|öffnen|schließen|spielen|abspielen|anrufen|stoppen"
                r"|löschen|starten|stellen|wecken|bestellen|leiser|lauter)$",
                r"(?:mach|schalte?|stell|stelle|spiel|spiele|öffne|schließ|schließe|ruf|rufe|stopp|lösche?"
                r"|starte?|weck|wecke|bestell|bestelle) \w",
            ),
        ),
        Rule(
            "clause",
            "relative",
            0.7,
            "match",
            (
                rf"(?:{_WH}) (?:{_PRONOUN}|der|die|das|ein|eine|gesagt|immer)\b(?!.*\b(?:denn)\b)",
                r"was auch",
                r"wer weiß",
                r"wie schön",
                r"was für ein (?:schöner|toller|schreckl)",
            ),
        ),
        Rule(
            "question word in front",
            "wh_front",
            0.9,
            "match",
            (
                rf"(?:(?:um|an|ab|bis|von|mit|für|zu|in|auf|aus|bei|nach|seit|über|gegen|durch|unter|wegen)"
                rf" )?(?:{_WH}|so viel)(?: (?!{_PRONOUN} |der |die |das |den )[^\W\d_]+){{0,4}}? {_VERB}\b",
                rf"(?:{_WH})$",
                rf"(?:um|an|ab|bis|von|mit|für|zu|in|auf|aus|bei|nach|seit) (?:wieviel|welche[rsnm]?|was|wem"
                rf"|wen|wann|wo)\b(?!.* (?:{_PRONOUN}|der|die|das) )",
                r"(?:wie|was) (?:wär's|wär|geht's|gibt's|ist's|sieht's|schaut's)\b",
                r"wie viele?\b",
                r"wie (?:lange?|spät|teuer|weit|groß|alt|hoch|oft|viel)$",
                r"was für\b",
                r"warum nicht",
                r"wie bitte$",
                r"wer (?!weiß|das|die|den|sich|nicht|auch|immer|es|ich|sie)[^\W\d_]+(?:t|te)\b",
            ),
        ),
        Rule(
            "inversion",
            "inversion",
            0.85,
            "match",
            (
                r"(?:haben|hätten|können|könnten|wollen|wollten|möchten|würden|wissen|wüßten|wüssten|kennen"
                r"|müssen|müssten|müßten|sollen|sollten|dürfen|sind|waren|wären|werden|gehen|kommen|fahren"
                r"|brauchen|denken|glauben|meinen|finden|nehmen|sprechen|bevorzugen|wünschen|legen|bekommen"
                r"|suchen|sehen|hatten|mögen|reisen|fliegen|bleiben|treffen|interessieren|arbeiten|wohnen"
                r"|halten) sie\b(?! mal$)",
                r"(?:hast|kannst|könntest|willst|möchtest|würdest|weißt|kennst|musst|mußt|sollst|solltest"
                r"|darfst|bist|warst|wirst|gehst|kommst|fährst|brauchst|denkst|glaubst|meinst|findest|nimmst"
                r"|magst|hattest|hättest|machst|siehst|wohnst|arbeitest) du\b",
                r"(?:habt|könnt|wollt|möchtet|seid|wisst|kommt|geht|macht|müsst) ihr\b",
                r"(?:sollen|sollten|wollen|müssen|dürfen) wir\b",
                r"(?:können|könnten) wir\b(?!.* (?:machen|nehmen|tun|sagen|festhalten|gehen|treffen)$)",
                r"(?:sind|ist) [^\W\d_]+ (?:[^\W\d_]+ ){0,2}(?:erlaubt|möglich|verfügbar|frei|offen|nötig"
                r"|verboten|inbegriffen|enthalten|kostenlos|vorhanden|bekannt|gestattet)$",
                r"(?:soll|darf|muss|muß) ich\b",
                r"(?:ist|sind|war|waren|wäre|wären|ginge|geht|gibt|gäbe|hat|hatte|kann|wird|paßt|passt"
                r"|stimmt|reicht|sieht|kostet|kommt|fährt|liegt|funktioniert|klappt|würde|würd|läge|steht"
                r"|bleibt|braucht|beginnt|dauert|heißt|gilt|muss|muß|soll|könnte|müßte|müsste|lohnt) (?:es"
                r"|das|der|die|da|er|ihnen|dir|sich|denn|dieser|diese|dieses|ihr|ihre|dein|deine|mein|unser"
                r"|eine?|jemand|noch|schon|hier|man|bei)\b",
                r"sagt (?:ihnen|dir) \w",
            ),
            # Topic drop: "(das) ist die beste idee", "(das) geht auch", "(da) hat der zug ...".
            exceptions=(
                r"^(?:(?:geht|ist|war|wäre|ginge|hat|liegt|kommt|fährt|steht|kostet|hätte|würde|paßt|passt)"
                r" (?:schon|auch|noch|die|der|da|eine?|bei|hier|dann)\b(?!.*\b(?:denn|möglich|frei|geöffnet"
                r"|recht|offen|da|gut|verfügbar|richtig)$))",
                r"^(?:(?:kommen|gehen|nehmen|legen|fahren|sehen|treffen|halten) sie (?:bitte|doch|mal|das"
                r"|herein|gut|mir|sich)\b)",
            ),
        ),
        Rule(
            "tag",
            "tag",
            0.7,
            "match_all",
            (
                r".+ (?:oder|nicht wahr|nich wahr|ne|gell|gelt|stimmt das|stimmt's|oder nicht|oder was|oder"
                r" doch|richtig|nicht|oder wie|oder so nicht)$(?<!oder so oder)(?<! nicht)|.+ nicht wahr$",
            ),
        ),
        Rule(
            "question behind a clause",
            "inversion",
            0.65,
            "search",
            (
                rf" (?:{_WH}) (?:ist|sind|kann|können|könnte|könnten|wäre|wären|soll|sollen|würde|würden"
                rf"|hätten|haben|möchten|kostet|geht|sieht|heißt|war) (?:sie|du|wir|ich|es|das|denn|der|die"
                rf"|man|da|ihnen)\b",
                r" (?:haben|hätten|können|könnten|möchten|wissen|würden|kennen) sie (?!.*(?:haben|können"
                r"|möchten|gesagt)$)",
                r" (?:hast|kannst|weißt|willst|möchtest) du ",
            ),
            not_behind=(
                r"\b(?:weiß|wissen|sehen|schauen|gesagt|daß|dass|ob|wenn|das|da|dann|dort|hier|so|wie|was|wo"
                r"|die|der|den|dem|also|nicht|auch|vielleicht|jetzt|oder|damit|und|uhr|juli|zeit|noch"
                r"|natürlich|gerne)$",
            ),
        ),
    ),
    # Not prepositions that are also the parted half of a verb: "mach das licht aus".
    open_ends=word_set(
        "der die den dem des ein eine einen einem einer mein meine meinen ihr ihre ihren unser unsere und oder"
        " aber weil dass daß ob wenn zum zur im am beim"
        " von vom für über unter zwischen durch gegen ohne sehr mir denn"
    ),
    unfinished=(
        rf"{_WH} (?:ist|sind|kann|können|könnte|soll|sollen|muss|muß|müssen|möchten|würden|haben"
        rf"|hat)(?: (?:ich|man|wir))?",
        r"(?:können|könnten|kannst|möchten|würden|haben|hast) (?:sie|du|wir)(?: (?:mir|uns|bitte|mal))*",
        r"(?:sag|sagen sie|erkläre|erklären sie|zeig|nenne) (?:mir|uns)",
    ),
    closed=frozenset({"tag"}),
    calls=False,
)
decide = TABLE.decide
