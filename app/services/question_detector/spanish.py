"""Spanish: question words in front, else the verb in front or a tag behind."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import Finding, plain, without, word_set

_STATEMENT: Final = Finding("statement", 0.85)
_REFUSAL: Final = re.compile(r"(?:.* )?no (?:quiero|quería|necesito|me interesa|deseo)\b")
_LEAD: Final = re.compile(
    r"(?:(?:sí|si|no|bueno|pues|vale|por favor|hola|buenas|buenos días|buenas tardes|buenas noches|perdón"
    r"|perdona|perdone|mira|mire|oye|oiga|entonces|y|pero|ah|oh|eh|a ver|verá"
    r"|gracias|muchas gracias|de acuerdo|claro|muy bien|bien|está bien|ok|okay|o|o sea|porque|también"
    r"|además|ahora|disculpa|disculpe|es que|este|señor|señora|señorita|quizá|quizás|correcto|exacto"
    r"|estupendo|perfecto|genial|aha|ajá|una pregunta|otra cosa|otra pregunta|una cosa) )+"
)
_PREP: Final = r"(?:a|de|en|con|por|para|desde|hasta|hacia|sobre|según|entre|cada)"
_WH_FRONT: Final = re.compile(
    rf"(?:{_PREP} )?(?:qué|cuál|cuáles|quién|quiénes|dónde|adónde|cuándo|cuánto|cuánta|cuántos|cuántas"
    rf"|cómo)\b(?!.*\bno sé)"
    r"|por qué\b"
    # Recognisers that write no accents: only with a verb right behind.
    rf"|(?:{_PREP} )?(?:que|cual|cuales|quien|quienes|donde|cuando|cuanto|cuanta|cuantos|cuantas|como)"
    rf" (?:es|son|está|están|estás|esta|estas|hora|hay|tiene|tienen|puedo|puede|puedes|podemos|cuesta"
    rf"|cuestan|vale|significa"
    r"|se (?:llama|hace|dice|usa|escribe|puede)|te llamas|haces|piensas|opinas|quieres|tal|tipo|diferencia"
    r"|precio|funciona|sale|llega)\b"
    r"|por que (?:no|es|son|se|me|hay|está|los|las|el|la)\b"
)
_NOT_WH: Final = re.compile(
    r"(?:qué|que) (?:bueno|bien|bonito|bonita|lindo|linda|rico|pena|lástima|horror|va|suerte|maravilla"
    r"|guay|raro|miedo|alegría|tontería|asco|gracioso|chulo|interesante|divertido|vergüenza)\b"
    r"|cómo no$|(?:como|cuando|donde|que) (?:es|está|son) (?:que|lógico|natural|normal|el caso)\b|qué sé"
    r" yo|quién sabe$|yo qué sé"
)
_INSIDE: Final = re.compile(
    r"(?:(?<=.) |^)(?:a |de |en |con |por |para )?(?:qué|cuál|cuáles|quién|quiénes|dónde|cuándo|cuánto"
    r"|cuánta|cuántos|cuántas) (?:[^\W\d_]+ ){0,3}?(?:es|son|está|están|hay|tiene|tienen|puede|puedo|sale"
    r"|llega|cuesta|vale|dura|sería|hace|debo|quieres|quiere|crees|piensas|opinas|significa|viene|tipo"
    r"|precio)\b"
)
_EMBEDDED: Final = re.compile(
    r"\b(?:sé|sabe|sabía|sabíamos|saben|sabemos|recuerdo|acuerdo|importa|entiendo|entendí|depende|imagino"
    r"|digo|dije|dijo|explicó|contó|ver|vi|vio|según|pregunto|preguntó|preguntaba|averiguar|decidir"
    r"|descubrir|decir|dijeron|claro|idea|mira|fíjate)"
    r" (?:de |muy bien |bien |exactamente |a |en |con |por |para )*(?:qué|cuál|cuáles|quién|quiénes|dónde"
    r"|adónde|cuándo|cuánto|cuánta|cuántos|cuántas|cómo|si)\b"
)
_INVERSION: Final = re.compile(
    r"(?:hay|había|habrá|existe|existen) (?:algún|alguna|alguno|algunos|algunas|algo|alguien|otro|otra"
    r"|otros|otras|más|un|una|posibilidad|manera|forma|que pagar|mucha|mucho|diferencia"
    r"|descuento)\b(?! (?:razón|cosa) )"
    r"|(?:no )?(?:tienes|puedes|quieres|sabes|conoces|crees|piensas|has|vas|eres|estás|recuerdas|necesitas"
    r"|prefieres|podrías|podías|querrías|quisieras|tendrías|te (?:gusta|gustan|parece|importa|acuerdas"
    r"|apetece|gustaría|refieres)|le (?:gusta|parece|importa|interesa|gustaría|va bien|viene bien)|os"
    r" (?:gusta|parece))\b"
    r"|(?:es|sería|era|será) (?:posible|verdad|cierto|necesario|obligatorio|correcto|seguro|gratis|caro"
    r"|usted|eso|ese|esa|este|esta)\b(?! que (?:no )?(?:me|yo))"
    r"|(?:tiene|tienen|puede|pueden|quiere|sabe|podría|podrían|podía|conoce|necesita|desea|prefiere|cree"
    r"|dispone) (?:usted|ustedes|algún|alguna|algo)\b|tienen? (?:como |el |la |un |una )?[^\W\d_]+(?:"
    r" [^\W\d_]+){0,2}$"
    r"|(?:se puede|se pueden|puedo|podemos|podría|debo|debería)\b(?! (?:decir|asegurar|confirmar|ayudar"
    r"|imaginar|entender|ver) que)"
    r"|(?:cuesta|cuestan|sale|salen|llega|llegan|está|están|son|incluye|admite|acepta|funciona) (?:el|la"
    r"|los|las|algún|alguna|ese|esa|este|esta|tarjetas?|en)\b"
    r"|(?:el|la|los|las|alguno|alguna|ninguno|algún)\b.* (?:algún|alguno|alguna)\b|(?:algún|alguna"
    r"|alguno)\b|no hay (?:ninguno|ninguna|ningún|otro|otra|más)\b.{4}|no (?:podrían|podría|habría|hay"
    r" alguna|sería)\b"
)
_NOT_INVERSION: Final = re.compile(
    r"(?:algún día|alguna vez|algunas veces)\b(?! (?:has|ha|han))|hay (?:un|una|algo|mucho|mucha|otro"
    r"|otra) .* (?:que (?:sale|llega|es|tiene|me|no)|a las|para usted)\b(?! (?:salga|llegue))|es verdad$"
    r"|es cierto$|es posible$|puedo (?:decirle|ofrecerle|ayudarle)|has? dicho que|eres (?:un|una|muy)\b"
    r"|eso es"
)
_ASK: Final = (
    r"(?:decir|dar|informar|explicar|indicar|repetir|recomendar|contar|mostrar|ayudar|confirmar|enseñar"
    r"|aclarar|facilitar|proporcionar|consultar|volver a|hablar|buscar|comparar|resumir|describir)"
)
_REQUEST: Final = re.compile(
    rf"(?:me|nos|te|se) (?:puede|podría|puedes|podrías|podéis|pueden|podrían|importaría) (?:\w+ )?{_ASK}"
    rf"|(?:puede|podría|puedes|podrías|podéis|pueden|podrían|podía|podías|podrían) (?:usted"
    rf" )?(?:{_ASK}(?:me|nos|la|lo|le)?\w*|volver a (?:decirme|repetirme))\b"
    r"|(?:dime|dígame|dame|deme|díganos|explícame|explíqueme|explica|cuéntame|cuénteme|infórmame|infórmeme"
    r"|recomiéndame|recomiéndeme|muéstrame|muéstreme|enséñame|búscame|háblame|hábleme|repítame|repíteme"
    r"|indíqueme|aclárame|describe|define|resume|compara|traduce|calcula|ayúdame a (?:entender|saber"
    r"|encontrar))\b"
    r"|(?:quiero|quisiera|quería|querría|necesito|deseo|desearía|desearia|me gustaría|quisiéramos|queremos"
    r"|queríamos|me interesa|me interesaría|necesitaría) (?:saber|conocer|preguntar|consultar|averiguar"
    r"|entender|que me (?:diga|digas|explique|informe|dé)|información|informarme|pedir información|los"
    r" horarios|el horario|horarios|el precio|obtener información)"
    r"|me (?:dice|dices|da|das|explicas?|repites?|informa) (?:el|la|los|las|qué|cuál|cómo|un|una|si"
    r"|otra)\b|me pregunto (?:si|qué|cómo|por)|(?:cuéntame|más información|información) (?:sobre|acerca"
    r"|de)\b|(?:la|mi|una) pregunta es\b"
)
_LATE_REQUEST: Final = re.compile(
    rf"\b(?:podría|puede|puedes|podrías) (?:usted )?(?:{_ASK})(?:me|nos|le)\b|\bme (?:puede|podría|puedes"
    rf"|podrías) (?:usted )?{_ASK}\b|\b(?:quisiera|quiero|querría|quería|necesito|me gustaría) (?:saber"
    rf"|conocer|que me (?:diga|informe))\b"
)
_TAG: Final = re.compile(
    r".+ (?:verdad|no es cierto|no es así|no es verdad|no crees|no cree|no te parece|no le parece|cierto|o"
    r" no|a que sí|sabes|vale o no|no es eso|puede ser|sí o no|correcto|te parece|le parece)$(?<!es"
    r" verdad)(?<!es cierto)(?<!la verdad)(?<!de verdad)(?<!si te parece)(?<!si le parece)(?<!es correcto)"
)
_FOLLOW_UP: Final = re.compile(
    r"(?:sí |no |bueno |vale |pues )?(?:por favor )?y (?:el|la|los|las|si es|si|a partir|en|qué)"
    r"(?: [^\W\d_]+){1,5}$|hay [^\W\d_]{4,}$"
)
_BACKCHANNEL: Final = re.compile(
    r"(?:(?:sí|ah|oh|ya|de verdad|en serio|verdad|claro|vale|no|bueno|mmm|aha|ajá|cómo|qué|perdón|ok"
    r"|eh)(?: |$)){1,6}$"
)
_OPEN_END: Final = word_set(
    "el la los las un una unos unas de del a al en con por para sin sobre desde hasta y o u e que qué cuál"
    " quién cómo dónde cuándo si pero porque como me te se mi tu su"
    " muy más este esta ese esa cada entre según"
)


_UNFINISHED: Final = re.compile(
    r"(?:(?:cuál|qué|cómo) (?:es|son|se|puedo|puede|puedes)|cuáles son|(?:me )?(?:puede|puedes|podría"
    r"|podrías)(?: (?:decir|explicar|ayudar))?(?:me)?|dime|dígame|(?:quiero|quisiera|me gustaría)(?:"
    r" saber)?|hay)$"
)


def decide(sentence: str) -> Finding:
    """Judge one sentence by its words alone."""
    whole = plain(sentence)
    text = without(_LEAD, whole)
    finding = _judge(whole, text)
    if finding.reason not in {"tag", "backchannel"} and (
        text.rpartition(" ")[2] in _OPEN_END or _UNFINISHED.match(text)
    ):
        return Finding(finding.reason, finding.confidence * 0.7, is_complete=False)
    return finding


def _judge(whole: str, text: str) -> Finding:
    if _BACKCHANNEL.match(whole):
        return Finding("backchannel", 0.8)
    if _REFUSAL.match(whole):
        return _STATEMENT
    if _REQUEST.match(text) or _LATE_REQUEST.search(text):
        return Finding("request", 0.9)
    if _NOT_WH.match(text):
        return Finding("exclamation", 0.7)
    if _WH_FRONT.match(text):
        return Finding("wh_front", 0.92)
    if _INVERSION.match(text) and not _NOT_INVERSION.match(text):
        return Finding("inversion", 0.75)
    if _TAG.match(whole):
        return Finding("tag", 0.75)
    if _EMBEDDED.search(text):
        return Finding("embedded", 0.8)
    if _INSIDE.search(text):
        return Finding("wh_word", 0.75)
    if _FOLLOW_UP.match(whole):
        return Finding("declarative", 0.6)
    return _STATEMENT
