"""French: est-ce que, question words in front or in their place, the verb before its pronoun."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import plain, word_set
from app.services.question_detector.table import Rule, Table

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

TABLE: Final = Table(
    lead=(
        r"oui|non|bon|ben|bah|et|mais|ou|alors|donc|ok|okay|d'accord|euh|heu|ah|oh|eh bien|et bien|bien",
        r"bonjour|bonsoir|salut|merci|s'il vous plaît|s'il vous plait|s'il te plaît|stp|svp|parfait|super",
        r"très bien|pardon|excusez moi|excuse moi|dites moi|dis moi|tiens|voilà|voila|enfin|en fait|ensuite",
        r"puis|maintenant|là|sinon|au fait|d'abord|avant|car|parce que|attends|attendez|monsieur|madame|ouais",
        r"cool|hum|hein|mmh|mmmh|j'ai compris|je vois|effectivement|en effet|après|par contre|justement",
        r"dis donc|dis|allez|génial|exact|mademoiselle|mon ami|juste|hé|hep|hey|coucou|google|siri|alexa",
        r"assistant|chatbot|bot",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.7,
            "match_all",
            (
                r"(?:(?:oui|ah|oh|bon|ok|vraiment|ah bon|c'est vrai|d'accord|non|hein|quoi|pardon|comment"
                r"|sérieux|ouais|n'est ce pas|ça va)(?: |$)){1,6}$",
            ),
        ),
        Rule(
            "est-ce que",
            "particle",
            0.95,
            "search",
            (r"\b(?:qu'est ce (?:que|qu'|qui)|(?<!qu')est ce (?:que|qu')|qu est ce|kes(?:k|que)|c'est quoi|c quoi)",),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.85,
            "match",
            (
                r"(?:vous|tu) (?:pouvez|peux|pourriez|pourrais|voulez|voudriez) (?:bien )?(?:me|m'|nous|vous)(?:"
                r" ?)(?:l'|le |la |les |en )?(?:dire|expliquer|aider|donner|parler|indiquer|montrer|renseigner"
                r"|rappeler|décrire|préciser|répéter|conseiller|recommander|rendre|trouver)\b",
                r"(?:dis|dites|explique|expliquez|donne|donnez|montre|montrez|indique|indiquez|raconte|racontez"
                r"|parle|parlez|rappelle|rappelez|décris|décrivez|résume|résumez|présente|conseille|conseillez"
                r"|recommande|recommandez|aide|aidez) (?:moi|nous|lui|la|le|les|en|un|une|ce|de)\b",
                r"(?:définis|définissez|compare|comparez|traduis|traduisez|calcule|calculez|liste|listez|cherche"
                r" moi|trouve moi|trouvez moi)\b",
                r"(?:je|j') ?(?:voudrais|aimerais|veux|souhaite|souhaiterais|cherche à|voulais|voudrai) (?:bien "
                r"|aussi |juste |en |vous )?(?:savoir|connaître|connaitre|comprendre|demander|apprendre|avoir"
                r" (?:des|plus d'|quelques|l')|des (?:informations|renseignements))",
                r"je me demand(?:e|ais) (?:si|ce|comment|pourquoi|où|quand|qui|quel)",
                r"(?:ma|la|une) question (?:est|c'est)\b",
                r"j'aurais (?:besoin (?:d'informations|de savoir|de renseignements)|une question|voulu savoir)",
                r"pour savoir (?:si|s'|où|comment|quel)",
                r"faites moi savoir",
                r"en savoir plus sur",
                r"(?:veuillez|merci de|pourriez vous|pouvez vous|peux tu|pourrais tu) (?:bien )?(?:me |m'|nous"
                r" )(?:dire|expliquer|aider|donner|parler|indiquer|montrer|renseigner|rappeler)",
            ),
        ),
        Rule(
            "clause",
            "relative",
            0.7,
            "match",
            (
                r"comment (?:vous|tu|je|il|elle|ils|on|nous|ça) \w+ (?:est|c'est)\b",
                r"pourquoi pas$",
                r"quoi qu",
                r"qui plus est",
                r"quand (?:vous|tu|je|il|elle|on|nous|ils|même|j'|c'est|le|la|les|un|une|même)\b",
                r"c'est (?:pourquoi|comment|là où)\b",
            ),
        ),
        Rule(
            "question word in front",
            "wh_front",
            0.9,
            "match",
            (
                r"(?:à|de|d'|en|avec|pour|par|sur|dans|chez|depuis|vers|contre|sous|jusqu'à) ?(?:quel|quelle"
                r"|quels|quelles|qui|quoi|où|quand|combien)\b(?! que\b)",
                r"(?:quel|quelle|quels|quelles) (?!que\b|dommage|chance|plaisir|horreur|bonheur|honneur|surprise"
                r"|joie|honte|belle|beau|idiot|bonne idée|merveille|talent|temps de chien)\w",
                r"(?:comment|combien|pourquoi|lequel|laquelle|lesquels|lesquelles)\b(?! (?:dire|vous dire|te dire)$)",
                rf"(?:où|ou|quand|que|quoi|qui) (?:{_INVERTED})\b",
                r"où\b(?! que\b)",
                r"quand (?:est|sera|aura|commence|finit|arrive|part|sont)\b",
                r"qui (?:est|a|va|sont|peut|fait|veut|sait|vous|t'|êtes|es|c'est|se|dirige|était|ont)\b",
                r"que (?:faire|faut|dois|puis|peut|veut|se|signifie|pensez|penses|sont|deviens?|devient|c'est il"
                r"|contient|représente|penser)\b",
                r"quoi (?:d'autre|de neuf|faire|comme|encore|exactement)\b",
                r"quoi$",
                r"(?:quand|qui)$",
            ),
        ),
        Rule(
            "inversion",
            "inversion",
            0.9,
            "match",
            (
                rf"(?:ne |n'|me |m'|te |t'|nous |vous |le |la |les |l'|y |en |lui |leur |en |ce |se |s'|vous en "
                rf"|m'en )?{_INVERTED}\b",
            ),
            exceptions=(
                r"^(?:(?:ne )?(?:asseyez|taisez|dépêchez|servez|rendez|excusez|reposez|méfiez|amusez|rappelez"
                r"|débrouillez|adressez|dirigez|concentrez|installez|occupez|calmez|souvenez|inscrivez|préparez"
                r"|renseignez|assurez|lancez|voyez|présentez|connectez|tournez|levez|promenez|mettez|donnez"
                r"|disons|dirigeons|retrouvons|rendons|allons|voyons|retournez|équipez|munissez|référez) (?:vous"
                r"|nous)\b)",
            ),
        ),
        Rule(
            "question word in its place",
            "wh_word",
            0.75,
            "match",
            (
                r".+ (?:quoi|où|comment|combien(?: de \w+)?|pourquoi|quand|qui|lequel|laquelle|quel \w+|quelle"
                r" \w+|(?:fais|fait|faites|faire|font|cherche|veux|dis|veut|doit faire) (?:quoi|comment)(?:"
                r" \w++(?: \w++){0,3})?|(?:vas|va|êtes|es|est|allez|trouve|habites?|habitez|sont) où(?:"
                r" \w+){0,3})$(?<!n'importe quoi)(?<!n'importe qui)(?<!n'importe où)(?<!n'importe"
                r" comment)(?<!n'importe quand)(?<!sais pas quoi)(?<!sais pas où)(?<!sais pas comment)(?<!sais"
                r" pas pourquoi)(?<!sais pas qui)(?<!sais pas quand)(?<!ou quoi)(?<!de quoi)(?<!voilà"
                r" pourquoi)(?<!sait pas où)(?<!quoi quoi)(?<!sais comment)(?<!sais où)(?<!sais pourquoi)",
            ),
        ),
        Rule(
            "tag",
            "tag",
            0.65,
            "match_all",
            (
                r".+ (?:n'est ce pas|pas vrai|hein|non|ou non|ou pas|c'est ça|c'est bien ça|c'est possible"
                r"|d'accord ou pas|peut être ou pas|pas encore|ou quoi|tu sais où|vous savez|tu crois|vous"
                r" croyez)$(?<!mais non)(?<!que non)(?<!oh non)(?<!ah non)(?<!euh non)(?<!merci non)(?<!non non)",
            ),
        ),
        Rule(
            "inversion behind a clause",
            "inversion",
            0.75,
            "search",
            (
                r"(?<! vous)(?<! nous)(?<!^vous)(?<!^nous)(?<!ne vous)(?<!ne nous) (?:que |comment |où |quand "
                r"|pourquoi |en |y |ne |n'|m'|me |d'où )?(?:(?:que|comment|où|pourquoi|combien|quand)"
                r" [^\W\d_]+(?:ez vous|ons nous|s tu| t il| t on)|comment (?:je|on|il|vous|tu) (?:fais|fait|faut"
                r"|doit|peut|peux|sais|dois|faites|puis)|où (?:est|sont|se trouve|trouver)|(?:voulez|pouvez"
                r"|pourriez|avez|savez|voudriez|devez|connaissez|êtes|aimeriez|souhaitez|auriez|sauriez|pensez"
                r"|croyez|désirez|comptez|faites|cherchez) vous|(?:peux|veux|sais|as|es|pourrais|penses|crois"
                r"|vas|connais|voudrais|dois) tu|(?:puis|dois|pourrais|devrais) je|(?:faut|peut|doit|va|sera|est"
                r"|a|y a|serait) t? ?(?:il|on)|est ce que|est ce qu'il)\b",
            ),
            not_behind=(
                r"(?:\b(?:que|qui|vous|nous|si|où|dont|ce|quand|lorsque|comme|c'|il|elle|ne|cela|ça|peut|on"
                r"|aussi|sans doute|ainsi|dit|peut être|en|j'ai|je l'ai|y)|')$",
            ),
        ),
        Rule(
            "statement that asks",
            "declarative",
            0.55,
            "match",
            (
                r"(?:vous|tu) (?:voulez|veux|(?:savez|sais) (?:où|si|comment|ce|qui|quel|quelle|pourquoi|combien"
                r"|quand)|connaissez|connais|pouvez|peux|venez|viens|avez (?:des|besoin|une|un|déjà|trouvé"
                r"|compris|fini|vu|bien|pas|d'autres)|as (?:des|besoin|une|un|déjà|trouvé|compris|fini|vu|bien"
                r"|pas|d'autres)|êtes (?:sûrs?|prêts?|certains?|bien|le|la|d'accord)|es (?:sûr|sûre|prêt|prête"
                r"|certain|bien|d'accord)|pensez|penses|croyez|crois|aimez|aimes|parlez|parles|aimerais|aimeriez"
                r"|travaillez|travailles|habitez|habites)\b(?!.*\b(?:voir|bien que)\b)",
                r"ça (?:vous|t'|te) (?:intéresse|va|dit|plaît|plait|convient)",
                r"(?:quelque chose d')?autre chose$",
                r"aucune idée (?:de|des|d')",
                r"encore (?:quelque chose|une question|des questions)",
                r"une idée",
                r"on (?:fait|doit|peut|va) (?:quoi|où|comment)",
                r"il (?:y a|existe) (?:d'autres|un autre|une autre|quoi|combien)",
                r"il faut (?:faire )?(?:quoi|quel|combien|comment)",
            ),
        ),
    ),
    open_ends=word_set(
        "le la les l' un une des du de d' à au aux en dans sur pour par avec sans chez et ou mais que qu' qui"
        " quel quelle quels quelles si comme ce cette ces mon ma mes votre vos ton ta son sa"
        " je j' ne n' me m' te se très"
    ),
    unfinished=(
        r"quel(?:le)?s? (?:est|sont)|comment|où (?:est|sont)|qu'est ce qu[ei]|est ce que",
        r"(?:pouvez|pourriez) vous|peux tu|pourrais tu|(?:dites|dis|expliquez|explique) moi",
        r"je (?:voudrais|veux)(?: savoir)?|est ce qu'il y a",
    ),
    closed=frozenset({"tag", "wh_word", "backchannel"}),
    prepare=lambda sentence: plain(sentence).replace("l'on ", "on "),
)
decide = TABLE.decide
