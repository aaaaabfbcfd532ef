"""Italian: question words in front; without one the second person of a verb of knowing, wanting, being able."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import IN_FRONT, Finding, behind_a_call, plain, without, word_set

_LEAD: Final = re.compile(
    r"(?:(?:sì|si|no|ok|okay|va bene|bene|benissimo|grazie|grazie mille|allora|ma|e|ed|o|oppure|ah|eh|ehm"
    r"|mmm|beh|be|dunque|quindi|però|ciao|salve|buongiorno|buonasera|senti|senta|scusa|scusi|scusami|per"
    r" favore|perfavore|ecco"
    r"|certo|(?:ho )?capito(?! (?:che|cosa|come|dove|quando|chi|perché|se|quale)\b)|perfetto|fantastico"
    r"|ottimo|anche|poi|fa nulla|adesso|ehmm|ora|invece|insomma|cioè|ad esempio|per esempio|secondo te"
    r"|secondo lei|prego|d'accordo|magari|tu|lei|comunque|interessante|un'altra cosa|una domanda|ehi|hey|google|siri"
    r"|alexa|assistente|chatbot|bot) )+"
)
_MODAL: Final = (
    r"(?:è|sono|era|hai|ha|hanno|devo|deve|devono|dobbiamo|posso|può|possono|possiamo|dovrei|dovrebbe"
    r"|dovremmo|potrei|potrebbe|bisogna|sarebbe|si|mi|ti|ci|c'è|ne|pensi|pensa|vuoi|vuole|fai|fa|fanno"
    r"|succede|significa"
    r"|consigli|consiglia|contiene|contengono|costa|costano|sta|stai|stanno|va|vai|vanno|intendi|intende"
    r"|cambia|comporta|provoca|serve|servono|dice|dici|vuol|esiste|esistono|mangi|preferisci|conosci|sai"
    r"|viene|parte|arriva|apre|chiude|inizia|finisce|funziona|dura|abita|abiti|altro|cosa)"
)
_WH_FRONT: Final = re.compile(
    rf"(?:a|di|da|in|con|per|su|tra|fra|entro|fino a|ogni) (?:che|chi|cosa|quale|quali|quando|quanto"
    rf"|quanta|quanti|quante|dove)\b(?! me\b)"
    rf"|(?:che cosa|che cos'è|cosa|cos'è|cos'|che) (?:ne |mi |ti |ci |si |vi )?{_MODAL}\b|(?:cos'è|cos'ha"
    rf"|cos'hai|che cos'è|com'è|dov'è|quand'è|chi è|qual è|qual'è|quant'è|com'era|dov'era)\b"
    r"|(?:quale|quali|quanto|quanta|quanti|quante)\b(?! (?:più|meno|riguarda|detto|meglio)\b)|dove (?!si"
    r" vive|c'è )\w|quando (?:è|sono|devo|dovrei|posso|potrei|si|parte|arriva|apre|inizia|finisce|bisogna"
    r"|viene)\b"
    rf"|come (?:mai|si|posso|potrei|dovrei|devo|faccio|fai|fa|va|stai|sta|è|sono|funziona|ti|vi|mi|ci|puoi"
    rf"|potresti|viene|bisogna|possiamo|dobbiamo|fare)\b|chi (?:è|ha|può|sono|sei|deve|mi|ti|ci|lo|la"
    rf"|vuole|fa|va|ha)\b"
    r"|perché (?:non (?:posso|devo|dovrei|puoi|mi|ti|si|è)|dovrei|devo|dici|pensi|hai|ti|si|fa)\b"
    r"|(?:perché|quando|dove|come|chi|cosa|che cosa|quanto|quale|come mai|perché no|e allora)$|che (?:tipo"
    r"|genere|differenza|ora|ore|giorno|senso|lavoro|vantaggi|benefici|importanza|cibi|alimenti|sapore)\b"
)
_NOT_WH: Final = re.compile(
    r"(?:che|quanto|come) (?:bello|bella|bel|brutto|peccato|schifo|meraviglia|buono|buona|bravo|brava|noia"
    r"|fortuna|strano|sei|caldo|freddo)\b|come (?:ti|le|vi) (?:ho|dicevo|avevo)|come si (?:dice|suol)(?:"
    r" dire)? \w+ \w+ \w+|chi lo sa$|come sono (?:contento|felice)|chi va piano|dove (?:mi|ti) "
)
_INSIDE: Final = re.compile(
    r"(?: |^)(?:che cosa|cosa|quale|quali|quanto|quanta|quanti|quante|come mai|a cosa|di cosa)"
    r" (?:[^\W\d_]+ ){0,3}?(?:devo|deve|dovrei|dovrebbe|posso|potrei|mi consigli|mi consiglia|mi sai|ne"
    r" pensi|pensi|bisogna|intendi|mi dici|mi puoi|si va)\b"
)
_EMBEDDED: Final = re.compile(
    r"\b(?:so|sapevo|sappiamo|capisco|capito|ricordo|dipende|vedere|spiegato|detto|chiaro|importa"
    r"|immagino) (?:bene |esattamente |più |da |di |a )*(?:che cosa|cosa|come|dove|quando|quanto|quanti"
    r"|quante|quale|quali|chi|perché|se)\b"
)
_INVERSION: Final = re.compile(
    r"(?:(?:non )?(?:hai|puoi|vuoi|sai|pensi|credi|sei|vorresti|potresti|conosci|preferisci|dovresti|segui"
    r"|mangi|bevi|fai|riesci|ricordi|intendi|sapresti|avresti|saresti|ritieni|vai|vivi|lavori"
    r"|stai|pratichi|senti)"
    r"|(?:ti|le|vi) (?:piace|piacciono|piacerebbe|sembra|pare|interessa|interesserebbe|va|capita|attirano"
    r"|attira|alimenti|fermi|senti|ricordi|rendi|consideri|servono?|andrebbe)|mi (?:puoi|può|potresti"
    r"|potrebbe|sai|sa|sapresti|consigli|consiglia|dici|dice|fai|aiuti|spieghi))\b"
    r"|(?:è|sarebbe|era) (?:vero|possibile|necessario|giusto|sbagliato|importante|consigliabile|meglio"
    r"|corretto|utile|sano|normale|un problema|dannoso|pericoloso|obbligatorio|gratis)\b|(?:c'è|ci sono"
    r"|esiste|esistono) (?:qualche|qualcosa|qualcuno|altro|altri|altre|un'altra|un altro|alternative|una"
    r" differenza|differenze|differenza|dei|delle|un modo|modo)\b"
    r"|(?:posso|potrei|possiamo|potremmo|si può|si possono|si deve|fa (?:bene|male)"
    r"|fanno (?:bene|male)|va bene se|vanno bene|serve|bisogna)\b(?! (?:dire|dirti|dirle|ammettere|essere"
    r"|stare) (?:che)?)"
)
_NOT_INVERSION: Final = re.compile(
    r"(?:è (?:importante|meglio|vero|necessario|utile|possibile|giusto) (?:che|mangiare|fare|bere|avere"
    r"|non|seguire|ridurre|evitare|limitare|assumere)?\b.{25})|(?:devo|dovrei|dobbiamo|potrei|potremmo)"
    r" (?:fare attenzione|cambiare|dimagrire|mangiare (?:di più|meno|meglio)|andare|stare|solo|proprio"
    r"|migliorare)\b|hai (?:ragione|detto|capito)|sei (?:molto|un|una|stata|stato|davvero)|puoi (?:trovare"
    r"|mangiare|anche|sempre|provare|consultare)"
)
_REQUEST: Final = re.compile(
    r"(?:dimmi|mi dica|dammi|mi dia|consigliami|mi consigli|spiegami|mi spieghi|parlami|mi parli"
    r"|raccontami|mostrami|aiutami a|suggeriscimi|elencami|indicami|descrivimi|fammi (?:un esempio|sapere"
    r"|capire|vedere)|informami|trovami|cercami|spiega|descrivi|definisci|riassumi|confronta|traduci"
    r"|calcola)\b"
    r"|(?:vorrei|volevo|voglio|desidero|desidererei|mi piacerebbe|vorremmo|avrei bisogno di|ho bisogno di"
    r"|gradirei) (?:\w+ ){0,2}?(?:sapere|conoscere|chiedere|chiederti|chiederle|capire|avere (?:\w+"
    r" )?(?:informazioni|informazione|consigli|consiglio|notizie|dettagli|chiarimenti)|informazioni|delle"
    r" informazioni|un consiglio|dei consigli|qualche (?:consiglio|informazione))\b"
    r"|mi (?:chiedo|chiedevo|domando) (?:se|come|perché|cosa|quando|dove)|la (?:mia )?domanda è|(?:puoi"
    r"|può|potresti|potrebbe|puo|sai|sapresti|saprebbe) (?:\w+ )?(?:dirmi|darmi|spiegarmi|consigliarmi"
    r"|aiutarmi|parlarmi|indicarmi|farmi|suggerirmi|dire|elencarmi|consigliare|ripetere|spiegare)\b"
    r"|(?:qualche |altri |dei )?(?:suggerimenti|consigli|informazioni) (?:su|per|sul|sulla|sui|sulle)\b"
)
_LATE_REQUEST: Final = re.compile(
    r"\b(?:mi (?:puoi|può|potresti|potrebbe|sai|sapresti) (?:dire|dare|spiegare|consigliare|aiutare"
    r"|indicare|parlare|fare)|(?:puoi|potresti|può|potrebbe|sapresti) (?:dirmi|darmi|spiegarmi"
    r"|consigliarmi|aiutarmi|indicarmi)|dimmi (?:se|cosa|come|quale|quali|tu)|vorrei sapere|volevo sapere"
    r"|volevo chiedere|hai mai|che ne pensi|cosa ne pensi|cosa mi consigli|che mi consigli|pensi che"
    r" (?:sia|si|la|il)|(?<!non )(?<!che )(?<!se )(?<!come )(?<!cosa )ti (?:sembra|piace|piacerebbe"
    r"|attirano|attira) )"
)
_TAG: Final = re.compile(
    r".+ (?:vero|giusto|no|non è vero|o no|o sbaglio|non credi|non pensi|non trovi|dico bene|non è così|va"
    r" bene|eh|o meno|è vero)$(?<!di no)(?<!che no)(?<!beh no)(?<!perché no)(?<! ma no)(?<!assolutamente"
    r" no)(?<!io no)(?<!ora no)(?<!è giusto)(?<!è vero)(?<!a meno)(?<!bene va bene)(?<!mi va bene)(?<!ok"
    r" va bene)(?<!o no no)"
)
_DECLARATIVE: Final = re.compile(
    r"(?:e |quindi )?se (?:io )?(?:\w+ ){1,8}?(?:va bene|fa male|fa bene|ingrasso|dimagrisco|è un problema"
    r"|posso|cosa|che|come|succede)\b|secondo (?:te|lei)\b"
)
_FOLLOW_UP: Final = re.compile(
    r"(?:ok |bene |va bene |no |sì |ma )?e (?:il|lo|la|i|gli|le|l'[^\W\d_]+|per|con|oltre|della|del|dei"
    r"|delle|tu|lei|invece)(?: [^\W\d_']+){0,4}$"
)
_BACKCHANNEL: Final = re.compile(
    r"(?:(?:sì|si|ah|oh|davvero|veramente|ma dai|no|ok|certo|vero|bene|eh|beh|come|cosa|prego|mah|sul"
    r" serio|giusto|capito|va bene|mmm)(?: |$)){1,6}$"
)
_OPEN_END: Final = word_set(
    "il lo la i gli le un uno una di del della dei delle a al alla da dal in nel nella con per su sul tra"
    " fra e ed o ma che se mi ti si ci"
    " mio mia tuo tua suo sua questo questa molto più non"
)


_UNFINISHED: Final = re.compile(
    r"(?:qual è|quali sono|cos'è|come (?:si|posso|mai)|(?:mi )?(?:puoi|può|potresti|potrebbe)(?: (?:dire"
    r"|spiegare|aiutare))?|dimmi|(?:vorrei|volevo)(?: sapere)?|c'è|ci sono)$"
)


def decide(sentence: str) -> Finding:
    """Judge one sentence by its words alone."""
    whole = plain(sentence)
    text = without(_LEAD, whole)
    finding = _judge(whole, text)
    if not finding.asks and (rest := behind_a_call(sentence)):
        asked = _judge(rest, without(_LEAD, rest))
        if asked.reason in IN_FRONT:
            finding, text = asked, rest
    if finding.reason not in {"tag", "backchannel"} and (
        text.rpartition(" ")[2] in _OPEN_END or _UNFINISHED.match(text)
    ):
        return Finding(finding.reason, finding.confidence * 0.7, is_complete=False)
    return finding


def _judge(whole: str, text: str) -> Finding:
    if _BACKCHANNEL.match(whole):
        return Finding("backchannel", 0.8)
    if _REQUEST.match(text) or _LATE_REQUEST.search(text):
        return Finding("request", 0.88)
    if _NOT_WH.match(text):
        return Finding("exclamation", 0.7)
    if _WH_FRONT.match(text):
        return Finding("wh_front", 0.9)
    if _INVERSION.match(text) and not _NOT_INVERSION.match(text):
        return Finding("inversion", 0.75)
    if _TAG.match(whole):
        return Finding("tag", 0.75)
    if _EMBEDDED.search(text):
        return Finding("embedded", 0.8)
    if _INSIDE.search(text):
        return Finding("wh_word", 0.75)
    if _DECLARATIVE.match(whole) or _FOLLOW_UP.match(whole):
        return Finding("declarative", 0.6)
    return Finding("statement", 0.85)
