"""Italian: question words in front; without one the second person of a verb of knowing, wanting, being able."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import word_set
from app.services.question_detector.table import Rule, Table

_MODAL: Final = (
    r"(?:è|sono|era|hai|ha|hanno|devo|deve|devono|dobbiamo|posso|può|possono|possiamo|dovrei|dovrebbe"
    r"|dovremmo|potrei|potrebbe|bisogna|sarebbe|si|mi|ti|ci|c'è|ne|pensi|pensa|vuoi|vuole|fai|fa|fanno"
    r"|succede|significa"
    r"|consigli|consiglia|contiene|contengono|costa|costano|sta|stai|stanno|va|vai|vanno|intendi|intende"
    r"|cambia|comporta|provoca|serve|servono|dice|dici|vuol|esiste|esistono|mangi|preferisci|conosci|sai"
    r"|viene|parte|arriva|apre|chiude|inizia|finisce|funziona|dura|abita|abiti|altro|cosa)"
)

TABLE: Final = Table(
    lead=(
        r"sì|si|no|ok|okay|va bene|bene|benissimo|grazie|grazie mille|allora|ma|e|ed|o|oppure|ah|eh|ehm|mmm",
        r"beh|be|dunque|quindi|però|ciao|salve|buongiorno|buonasera|senti|senta|scusa|scusi|scusami",
        r"per favore|perfavore|ecco|certo",
        r"(?:ho )?capito(?! (?:che|cosa|come|dove|quando|chi|perché|se|quale)\b)|perfetto|fantastico|ottimo",
        r"anche|poi|fa nulla|adesso|ehmm|ora|invece|insomma|cioè|ad esempio|per esempio|secondo te",
        r"secondo lei|prego|d'accordo|magari|tu|lei|comunque|interessante|un'altra cosa|una domanda|ehi|hey",
        r"google|siri|alexa|assistente|chatbot|bot",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.8,
            "match_all",
            (
                r"(?:(?:sì|si|ah|oh|davvero|veramente|ma dai|no|ok|certo|vero|bene|eh|beh|come|cosa|prego|mah"
                r"|sul serio|giusto|capito|va bene|mmm)(?: |$)){1,6}$",
            ),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.88,
            "match",
            (
                r"(?:dimmi|mi dica|dammi|mi dia|consigliami|mi consigli|spiegami|mi spieghi|parlami|mi parli"
                r"|raccontami|mostrami|aiutami a|suggeriscimi|elencami|indicami|descrivimi|fammi (?:un esempio"
                r"|sapere|capire|vedere)|informami|trovami|cercami|spiega|descrivi|definisci|riassumi|confronta"
                r"|traduci|calcola)\b",
                r"(?:vorrei|volevo|voglio|desidero|desidererei|mi piacerebbe|vorremmo|avrei bisogno di|ho"
                r" bisogno di|gradirei) (?:\w+ ){0,2}?(?:sapere|conoscere|chiedere|chiederti|chiederle|capire"
                r"|avere (?:\w+ )?(?:informazioni|informazione|consigli|consiglio|notizie|dettagli|chiarimenti)"
                r"|informazioni|delle informazioni|un consiglio|dei consigli|qualche (?:consiglio"
                r"|informazione))\b",
                r"mi (?:chiedo|chiedevo|domando) (?:se|come|perché|cosa|quando|dove)",
                r"la (?:mia )?domanda è",
                r"(?:puoi|può|potresti|potrebbe|puo|sai|sapresti|saprebbe) (?:\w+ )?(?:dirmi|darmi|spiegarmi"
                r"|consigliarmi|aiutarmi|parlarmi|indicarmi|farmi|suggerirmi|dire|elencarmi|consigliare|ripetere"
                r"|spiegare)\b",
                r"(?:qualche |altri |dei )?(?:suggerimenti|consigli|informazioni) (?:su|per|sul|sulla|sui|sulle)\b",
            ),
        ),
        Rule(
            "request behind a clause",
            "request",
            0.88,
            "search",
            (
                r"\b(?:mi (?:puoi|può|potresti|potrebbe|sai|sapresti) (?:dire|dare|spiegare|consigliare|aiutare"
                r"|indicare|parlare|fare)|(?:puoi|potresti|può|potrebbe|sapresti) (?:dirmi|darmi|spiegarmi"
                r"|consigliarmi|aiutarmi|indicarmi)|dimmi (?:se|cosa|come|quale|quali|tu)|vorrei sapere|volevo"
                r" sapere|volevo chiedere|hai mai|che ne pensi|cosa ne pensi|cosa mi consigli|che mi consigli"
                r"|pensi che (?:sia|si|la|il)|(?<!non )(?<!che )(?<!se )(?<!come )(?<!cosa )ti (?:sembra|piace"
                r"|piacerebbe|attirano|attira) )",
            ),
        ),
        Rule(
            "exclamation",
            "exclamation",
            0.7,
            "match",
            (
                r"(?:che|quanto|come) (?:bello|bella|bel|brutto|peccato|schifo|meraviglia|buono|buona|bravo"
                r"|brava|noia|fortuna|strano|sei|caldo|freddo)\b",
                r"come (?:ti|le|vi) (?:ho|dicevo|avevo)",
                r"come si (?:dice|suol)(?: dire)? \w+ \w+ \w+",
                r"chi lo sa$",
                r"come sono (?:contento|felice)",
                r"chi va piano",
                r"dove (?:mi|ti) ",
            ),
        ),
        Rule(
            "question word in front",
            "wh_front",
            0.9,
            "match",
            (
                r"(?:a|di|da|in|con|per|su|tra|fra|entro|fino a|ogni) (?:che|chi|cosa|quale|quali|quando|quanto"
                r"|quanta|quanti|quante|dove)\b(?! me\b)",
                rf"(?:che cosa|che cos'è|cosa|cos'è|cos'|che) (?:ne |mi |ti |ci |si |vi )?{_MODAL}\b",
                r"(?:cos'è|cos'ha|cos'hai|che cos'è|com'è|dov'è|quand'è|chi è|qual è|qual'è|quant'è|com'era|dov'era)\b",
                r"(?:quale|quali|quanto|quanta|quanti|quante)\b(?! (?:più|meno|riguarda|detto|meglio)\b)",
                r"dove (?!si vive|c'è )\w",
                r"quando (?:è|sono|devo|dovrei|posso|potrei|si|parte|arriva|apre|inizia|finisce|bisogna|viene)\b",
                r"come (?:mai|si|posso|potrei|dovrei|devo|faccio|fai|fa|va|stai|sta|è|sono|funziona|ti|vi|mi|ci"
                r"|puoi|potresti|viene|bisogna|possiamo|dobbiamo|fare)\b",
                r"chi (?:è|ha|può|sono|sei|deve|mi|ti|ci|lo|la|vuole|fa|va|ha)\b",
                r"perché (?:non (?:posso|devo|dovrei|puoi|mi|ti|si|è)|dovrei|devo|dici|pensi|hai|ti|si|fa)\b",
                r"(?:perché|quando|dove|come|chi|cosa|che cosa|quanto|quale|come mai|perché no|e allora)$",
                r"che (?:tipo|genere|differenza|ora|ore|giorno|senso|lavoro|vantaggi|benefici|importanza|cibi"
                r"|alimenti|sapore)\b",
            ),
        ),
        Rule(
            "second person",
            "inversion",
            0.75,
            "match",
            (
                r"(?:(?:non )?(?:hai|puoi|vuoi|sai|pensi|credi|sei|vorresti|potresti|conosci|preferisci|dovresti"
                r"|segui|mangi|bevi|fai|riesci|ricordi|intendi|sapresti|avresti|saresti|ritieni|vai|vivi|lavori"
                r"|stai|pratichi|senti)|(?:ti|le|vi) (?:piace|piacciono|piacerebbe|sembra|pare|interessa"
                r"|interesserebbe|va|capita|attirano|attira|alimenti|fermi|senti|ricordi|rendi|consideri"
                r"|servono?|andrebbe)|mi (?:puoi|può|potresti|potrebbe|sai|sa|sapresti|consigli|consiglia|dici"
                r"|dice|fai|aiuti|spieghi))\b",
                r"(?:è|sarebbe|era) (?:vero|possibile|necessario|giusto|sbagliato|importante|consigliabile"
                r"|meglio|corretto|utile|sano|normale|un problema|dannoso|pericoloso|obbligatorio|gratis)\b",
                r"(?:c'è|ci sono|esiste|esistono) (?:qualche|qualcosa|qualcuno|altro|altri|altre|un'altra|un"
                r" altro|alternative|una differenza|differenze|differenza|dei|delle|un modo|modo)\b",
                r"(?:posso|potrei|possiamo|potremmo|si può|si possono|si deve|fa (?:bene|male)|fanno (?:bene"
                r"|male)|va bene se|vanno bene|serve|bisogna)\b(?! (?:dire|dirti|dirle|ammettere|essere|stare)"
                r" (?:che)?)",
            ),
            exceptions=(
                r"^(?:(?:è (?:importante|meglio|vero|necessario|utile|possibile|giusto) (?:che|mangiare|fare"
                r"|bere|avere|non|seguire|ridurre|evitare|limitare|assumere)?\b.{25}))",
                r"^(?:hai (?:ragione|detto|capito))",
                r"^(?:sei (?:molto|un|una|stata|stato|davvero))",
                r"^(?:puoi (?:trovare|mangiare|anche|sempre|provare|consultare))",
            ),
        ),
        Rule(
            "tag",
            "tag",
            0.75,
            "match_all",
            (
                r".+ (?:vero|giusto|no|non è vero|o no|o sbaglio|non credi|non pensi|non trovi|dico bene|non è"
                r" così|va bene|eh|o meno|è vero)$(?<!di no)(?<!che no)(?<!beh no)(?<!perché no)(?<! ma"
                r" no)(?<!assolutamente no)(?<!io no)(?<!ora no)(?<!è giusto)(?<!è vero)(?<!a meno)(?<!bene va"
                r" bene)(?<!mi va bene)(?<!ok va bene)(?<!o no no)",
            ),
        ),
        Rule(
            "known or not",
            "embedded",
            0.8,
            "search",
            (
                r"\b(?:so|sapevo|sappiamo|capisco|capito|ricordo|dipende|vedere|spiegato|detto|chiaro|importa"
                r"|immagino) (?:bene |esattamente |più |da |di |a )*(?:che cosa|cosa|come|dove|quando|quanto"
                r"|quanti|quante|quale|quali|chi|perché|se)\b",
            ),
        ),
        Rule(
            "question word in its place",
            "wh_word",
            0.75,
            "search",
            (
                r"(?: |^)(?:che cosa|cosa|quale|quali|quanto|quanta|quanti|quante|come mai|a cosa|di cosa)"
                r" (?:[^\W\d_]+ ){0,3}?(?:devo|deve|dovrei|dovrebbe|posso|potrei|mi consigli|mi consiglia|mi sai"
                r"|ne pensi|pensi|bisogna|intendi|mi dici|mi puoi|si va)\b",
            ),
        ),
        Rule(
            "and this",
            "declarative",
            0.6,
            "match_all",
            (
                r"(?:e |quindi )?se (?:io )?(?:\w+ ){1,8}?(?:va bene|fa male|fa bene|ingrasso|dimagrisco|è un"
                r" problema|posso|cosa|che|come|succede)\b",
                r"secondo (?:te|lei)\b",
                r"(?:ok |bene |va bene |no |sì |ma )?e (?:il|lo|la|i|gli|le|l'[^\W\d_]+|per|con|oltre|della|del"
                r"|dei|delle|tu|lei|invece)(?: [^\W\d_']+){0,4}$",
            ),
        ),
    ),
    open_ends=word_set(
        "il lo la i gli le un uno una di del della dei delle a al alla da dal in nel nella con per su sul tra"
        " fra e ed o ma che se mi ti si ci"
        " mio mia tuo tua suo sua questo questa molto più non"
    ),
    unfinished=(
        r"qual è|quali sono|cos'è|come (?:si|posso|mai)",
        r"(?:mi )?(?:puoi|può|potresti|potrebbe)(?: (?:dire|spiegare|aiutare))?|dimmi",
        r"(?:vorrei|volevo)(?: sapere)?|c'è|ci sono",
    ),
)
decide = TABLE.decide
