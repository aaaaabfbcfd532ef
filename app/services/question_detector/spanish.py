"""Spanish: question words in front, else the verb in front or a tag behind."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import word_set
from app.services.question_detector.table import Rule, Table

_PREP: Final = r"(?:a|de|en|con|por|para|desde|hasta|hacia|sobre|según|entre|cada)"
_ASK: Final = (
    r"(?:decir|dar|informar|explicar|indicar|repetir|recomendar|contar|mostrar|ayudar|confirmar|enseñar"
    r"|aclarar|facilitar|proporcionar|consultar|volver a|hablar|buscar|comparar|resumir|describir)"
)

TABLE: Final = Table(
    lead=(
        r"sí|si|no|bueno|pues|vale|por favor|hola|buenas|buenos días|buenas tardes|buenas noches|perdón",
        r"perdona|perdone|mira|mire|oye|oiga|entonces|y|pero|ah|oh|eh|a ver|verá|gracias|muchas gracias",
        r"de acuerdo|claro|muy bien|bien|está bien|ok|okay|o|o sea|porque|también|además|ahora|disculpa",
        r"disculpe|es que|este|señor|señora|señorita|quizá|quizás|correcto|exacto|estupendo|perfecto|genial",
        r"aha|ajá|una pregunta|otra cosa|otra pregunta|una cosa",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.8,
            "match_all",
            (
                r"(?:(?:sí|ah|oh|ya|de verdad|en serio|verdad|claro|vale|no|bueno|mmm|aha|ajá|cómo|qué|perdón|ok"
                r"|eh)(?: |$)){1,6}$",
            ),
        ),
        Rule(
            "refusal",
            "statement",
            0.85,
            "match_all",
            (r"(?:.* )?no (?:quiero|quería|necesito|me interesa|deseo)\b",),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.9,
            "match",
            (
                rf"(?:me|nos|te|se) (?:puede|podría|puedes|podrías|podéis|pueden|podrían|importaría) (?:\w+ )?{_ASK}",
                rf"(?:puede|podría|puedes|podrías|podéis|pueden|podrían|podía|podías|podrían) (?:usted"
                rf" )?(?:{_ASK}(?:me|nos|la|lo|le)?\w*|volver a (?:decirme|repetirme))\b",
                r"(?:dime|dígame|dame|deme|díganos|explícame|explíqueme|explica|cuéntame|cuénteme|infórmame"
                r"|infórmeme|recomiéndame|recomiéndeme|muéstrame|muéstreme|enséñame|búscame|háblame|hábleme"
                r"|repítame|repíteme|indíqueme|aclárame|describe|define|resume|compara|traduce|calcula|ayúdame a"
                r" (?:entender|saber|encontrar))\b",
                r"(?:quiero|quisiera|quería|querría|necesito|deseo|desearía|desearia|me gustaría|quisiéramos"
                r"|queremos|queríamos|me interesa|me interesaría|necesitaría) (?:saber|conocer|preguntar"
                r"|consultar|averiguar|entender|que me (?:diga|digas|explique|informe|dé)|información|informarme"
                r"|pedir información|los horarios|el horario|horarios|el precio|obtener información)",
                r"me (?:dice|dices|da|das|explicas?|repites?|informa) (?:el|la|los|las|qué|cuál|cómo|un|una|si|otra)\b",
                r"me pregunto (?:si|qué|cómo|por)",
                r"(?:cuéntame|más información|información) (?:sobre|acerca|de)\b",
                r"(?:la|mi|una) pregunta es\b",
            ),
        ),
        Rule(
            "request behind a clause",
            "request",
            0.9,
            "search",
            (
                rf"\b(?:podría|puede|puedes|podrías) (?:usted )?(?:{_ASK})(?:me|nos|le)\b",
                rf"\bme (?:puede|podría|puedes|podrías) (?:usted )?{_ASK}\b",
                r"\b(?:quisiera|quiero|querría|quería|necesito|me gustaría) (?:saber|conocer|que me"
                r" (?:diga|informe))\b",
            ),
        ),
        Rule(
            "exclamation",
            "exclamation",
            0.7,
            "match",
            (
                r"(?:qué|que) (?:bueno|bien|bonito|bonita|lindo|linda|rico|pena|lástima|horror|va|suerte"
                r"|maravilla|guay|raro|miedo|alegría|tontería|asco|gracioso|chulo|interesante|divertido"
                r"|vergüenza)\b",
                r"(?:como|cuando|donde|que) (?:es|está|son) (?:que|lógico|natural|normal|el caso)\b",
                r"qué sé yo",
                r"quién sabe$",
                r"yo qué sé",
            ),
        ),
        Rule(
            "question word in front",
            "wh_front",
            0.92,
            "match",
            (
                rf"(?:{_PREP} )?(?:qué|cuál|cuáles|quién|quiénes|dónde|adónde|cuándo|cuánto|cuánta|cuántos"
                rf"|cuántas|cómo)\b(?!.*\bno sé)",
                # Recognisers that write no accents: only with a verb right behind.
                rf"(?:{_PREP} )?(?:que|cual|cuales|quien|quienes|donde|cuando|cuanto|cuanta|cuantos|cuantas"
                rf"|como) (?:es|son|está|están|estás|esta|estas|hora|hay|tiene|tienen|puedo|puede|puedes|podemos"
                rf"|cuesta|cuestan|vale|significa|se (?:llama|hace|dice|usa|escribe|puede)|te llamas|haces"
                rf"|piensas|opinas|quieres|tal|tipo|diferencia|precio|funciona|sale|llega)\b",
                r"por que (?:no|es|son|se|me|hay|está|los|las|el|la)\b",
            ),
        ),
        Rule(
            "second person",
            "inversion",
            0.75,
            "match",
            (
                r"(?:hay|había|habrá|existe|existen) (?:algún|alguna|alguno|algunos|algunas|algo|alguien|otro"
                r"|otra|otros|otras|más|un|una|posibilidad|manera|forma|que pagar|mucha|mucho|diferencia"
                r"|descuento)\b(?! (?:razón|cosa) )",
                r"(?:no )?(?:tienes|puedes|quieres|sabes|conoces|crees|piensas|has|vas|eres|estás|recuerdas"
                r"|necesitas|prefieres|podrías|podías|querrías|quisieras|tendrías|te (?:gusta|gustan|parece"
                r"|importa|acuerdas|apetece|gustaría|refieres)|le (?:gusta|parece|importa|interesa|gustaría|va"
                r" bien|viene bien)|os (?:gusta|parece))\b",
                r"(?:es|sería|era|será) (?:posible|verdad|cierto|necesario|obligatorio|correcto|seguro|gratis"
                r"|caro|usted|eso|ese|esa|este|esta)\b(?! que (?:no )?(?:me|yo))",
                r"(?:tiene|tienen|puede|pueden|quiere|sabe|podría|podrían|podía|conoce|necesita|desea|prefiere"
                r"|cree|dispone) (?:usted|ustedes|algún|alguna|algo)\b",
                r"tienen? (?:como |el |la |un |una )?[^\W\d_]+(?: [^\W\d_]+){0,2}$",
                r"(?:se puede|se pueden|puedo|podemos|podría|debo|debería)\b(?! (?:decir|asegurar|confirmar"
                r"|ayudar|imaginar|entender|ver) que)",
                r"(?:cuesta|cuestan|sale|salen|llega|llegan|está|están|son|incluye|admite|acepta|funciona) (?:el"
                r"|la|los|las|algún|alguna|ese|esa|este|esta|tarjetas?|en)\b",
                r"(?:el|la|los|las|alguno|alguna|ninguno|algún)\b.* (?:algún|alguno|alguna)\b",
                r"(?:algún|alguna|alguno)\b",
            ),
            exceptions=(
                r"^(?:(?:algún día|alguna vez|algunas veces)\b(?! (?:has|ha|han)))",
                r"^(?:hay (?:un|una|algo|mucho|mucha|otro|otra) .* (?:que (?:sale|llega|es|tiene|me|no)|a las"
                r"|para usted)\b(?! (?:salga|llegue)))",
                r"^(?:es verdad$)",
                r"^(?:es cierto$)",
                r"^(?:es posible$)",
                r"^(?:puedo (?:decirle|ofrecerle|ayudarle))",
                r"^(?:has? dicho que)",
                r"^(?:eres (?:un|una|muy)\b)",
            ),
        ),
        Rule(
            "tag",
            "tag",
            0.75,
            "match_all",
            (
                r".+ (?:verdad|no es cierto|no es así|no es verdad|no crees|no cree|no te parece|no le parece"
                r"|cierto|o no|a que sí|sabes|vale o no|no es eso|puede ser|sí o no|correcto|te parece|le"
                r" parece)$(?<!es verdad)(?<!es cierto)(?<!la verdad)(?<!de verdad)(?<!si te parece)(?<!si le"
                r" parece)(?<!es correcto)",
            ),
        ),
        Rule(
            "known or not",
            "embedded",
            0.8,
            "search",
            (
                r"\b(?:sé|sabe|sabía|sabíamos|saben|sabemos|recuerdo|acuerdo|importa|entiendo|entendí|depende"
                r"|imagino|digo|dije|dijo|explicó|contó|ver|vi|vio|según|pregunto|preguntó|preguntaba|averiguar"
                r"|decidir|descubrir|decir|dijeron|claro|idea|mira|fíjate) (?:de |muy bien |bien |exactamente |a"
                r" |en |con |por |para )*(?:qué|cuál|cuáles|quién|quiénes|dónde|adónde|cuándo|cuánto|cuánta"
                r"|cuántos|cuántas|cómo|si)\b",
            ),
        ),
        Rule(
            "question word in its place",
            "wh_word",
            0.75,
            "search",
            (
                r"(?:(?<=.) |^)(?:a |de |en |con |por |para )?(?:qué|cuál|cuáles|quién|quiénes|dónde|cuándo"
                r"|cuánto|cuánta|cuántos|cuántas) (?:[^\W\d_]+ ){0,3}?(?:es|son|está|están|hay|tiene|tienen"
                r"|puede|puedo|sale|llega|cuesta|vale|dura|sería|hace|debo|quieres|quiere|crees|piensas|opinas"
                r"|significa|viene|tipo|precio)\b",
            ),
        ),
        Rule(
            "and this",
            "declarative",
            0.6,
            "match_all",
            (
                r"(?:sí |no |bueno |vale |pues )?(?:por favor )?y (?:el|la|los|las|si es|si|a partir|en|qué)(?:"
                r" [^\W\d_]+){1,5}$",
                r"hay [^\W\d_]{4,}$",
            ),
        ),
    ),
    open_ends=word_set(
        "el la los las un una unos unas de del a al en con por para sin sobre desde hasta y o u e que qué cuál"
        " quién cómo dónde cuándo si pero porque como me te se mi tu su"
        " muy más este esta ese esa cada entre según"
    ),
    unfinished=(
        r"(?:cuál|qué|cómo) (?:es|son|se|puedo|puede|puedes)|cuáles son",
        r"(?:me )?(?:puede|puedes|podría|podrías)(?: (?:decir|explicar|ayudar))?(?:me)?|dime|dígame",
        r"(?:quiero|quisiera|me gustaría)(?: saber)?|hay",
    ),
    calls=False,
)
decide = TABLE.decide
