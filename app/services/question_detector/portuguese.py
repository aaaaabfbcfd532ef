"""Portuguese: question words in front or in their place; the second person and a few verbs stand for inversion."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import word_set
from app.services.question_detector.table import Rule, Table

_PREP: Final = r"(?:a|à|de|do|em|no|na|com|por|para|pra|desde|até|sobre|entre|há) "
_TELL: Final = (
    r"(?:dizer|explicar|contar|mostrar|informar|indicar|recomendar|ajudar|falar|dar|confirmar|ensinar|sugerir|repetir"
    r"|descrever|resumir|comparar|esclarecer|passar|lembrar)"
)
TABLE: Final = Table(
    lead=(
        r"sim|não|ok|okay|bom|bem|olá|oi|e|mas|então|aí|daí|ah|oh|eh|olha|olhe|escuta|desculpa|desculpe|por"
        r" favor|obrigad[oa]",
        r"muito obrigad[oa]|bom dia|boa tarde|boa noite|certo|claro|tá|tá bom|está bem|pois|pois é|também"
        r"|além disso|agora",
        r"uma pergunta|outra coisa|uma coisa|com licença|gente|senhor|senhora|porque|ou|tipo|assim|alexa"
        r"|google|assistente",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.8,
            "opening",
            (
                r"(?:(?:sério|é mesmo|verdade|ah|oh|sim|não|é|tá|ok|certo|né|claro|nossa|jura|como|o quê|hum"
                r"|pois é)(?: |$)){1,5}(?<! )$",
            ),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.88,
            "front",
            (
                r"(?:me |nos )?(?:diga|diz|conta|conte|explica|explique|mostra|mostre|informe|indique"
                r"|recomende|recomenda|sugira"
                r"|descreva|fala|fale|dê|dá)(?:-me| me| nos)? (?:o|a|os|as|um|uma|qual|quais|como|onde"
                r"|quando|quanto|quem|por|se"
                r"|sobre|mais|algo|isso|ess[ea]s?|est[ea]s?|uns|umas|algum\w*)",
                r"(?:explique|explica|descreva|defina|resuma|compare|traduza|calcule|liste) \S+",
                rf"(?:(?:você|vocês|o senhor|a senhora|tu) )?(?:me |nos )?(?:pode|podes|poderia|podem"
                rf"|poderiam|consegue) (?:me |nos |por favor )?{_TELL}\S*",
                r"(?:eu )?(?:quero|queria|gostaria de|preciso|gostava de) (?:\S+ )?(?:saber|perguntar"
                r"|entender|conhecer|de (?:uma )?informaç\S+)",
                r"(?:a )?minha (?:dúvida|pergunta) é",
                r"tenho uma (?:dúvida|pergunta) sobre",
            ),
            (),
        ),
        Rule(
            "command",
            "command",
            0.85,
            "front",
            (
                r"(?:você )?(?:pode |poderia |por favor )?(?:ligar?|liga|ligue|desligar?|desligue|abrir|abre"
                r"|abra|fechar|fecha|feche|tocar"
                r"|toca|toque|aumentar?|diminui\w*) (?:o|a|os|as|uma?) \S+",
            ),
        ),
        Rule(
            "exclamation",
            "exclamation",
            0.7,
            "front",
            (
                r"que (?:(?:dia|noite|coisa|casa|tarde|festa) )?"
                r"(?:bom|boa|lindo|linda|pena|legal|ótimo|coisa|saudade|maravilha|horror|bonito|bonita"
                r"|delícia|sorte|estranho|raiva)",
                r"como (?:é|está) (?:lindo|linda|bom|bonito|bonita|grande)",
                r"quem (?:sabe|dera)(?! (?:me|onde|como|quando|o))",
                r"quanta (?:gente|coisa)$",
            ),
        ),
        Rule(
            "clause",
            "relative",
            0.7,
            "front",
            (
                r"quando (?:eu|ele|ela|nós|a gente|eles|elas|era|cheguei|fui|for|puder)",
                r"como \S+(?:ado|ido)s?",
                r"quando (?:\S++ ){1,8}(?:eu|ele|ela|nós|a gente) \S+",
                r"como (?:eu|ele|ela|nós|a gente|sempre|já|você sabe|disse|se diz|se fosse)(?! \S+ (?:isso|faço))",
                r"(?:o )?que (?:eu|ele|ela|nós|eles) (?:quero|queria|disse|fiz|fez|acho|sei|gosto|preciso|falei)",
                r"como (?:combinamos|falamos|dissemos|decidimos|vimos)(?: \S++){0,8}$",
                r"quem (?:quiser|puder|for|vier|souber|chegar|estiver|tiver)",
                r"onde (?:eu|ele|ela|nós) (?:moro|nasci|trabalho|moramos|nasceu)",
            ),
        ),
        Rule(
            "question word in front",
            "wh_front",
            0.92,
            "front",
            (
                r"o que|o quê",
                rf"(?:{_PREP})?(?:qual|quais)",
                rf"(?:{_PREP})?quem",
                rf"(?:{_PREP})?(?:onde|aonde)",
                rf"(?:{_PREP})?(?:quanto|quanta|quantos|quantas)",
                r"(?:desde |até |para )?quando",
                r"como",
                rf"(?:{_PREP})?que (?:é|horas?|tipo|dia|ano|cor|tamanho|diferença|são|você|vocês|foi"
                rf"|acontece|significa|ônibus|idade|sala)",
                rf"{_PREP}que \S+",
                r"cadê",
                r"será que",
            ),
        ),
        Rule(
            "known or not",
            "embedded",
            0.75,
            "anywhere",
            (
                r"(?:eu |ele |ela |ninguém |já )?(?:sei|sabia|sabemos|entendi|lembro|depende|descobri"
                r"|imagino|esqueci|vi|disse|explicou) (?:muito bem |bem |de |exatamente )?"
                r"(?:o que|que|qual|quais|quem|onde|quando|quanto|quantos|como|por que|se)",
                r"seja (?:o que|qual|quem|como) for",
            ),
        ),
        Rule(
            "second person",
            "inversion",
            0.75,
            "front",
            (
                r"(?:você|vocês|o senhor|a senhora|tu) (?:não )?(?:pode|podem|podes|quer|querem|sabe|sabem"
                r"|sabes|tem|têm|tens|conhece|conhecem|acha"
                r"|acham|gosta|gostam|vai|vão|vem|precisa|prefere|está|estão|já|trabalha|mora|lembra|aceita"
                r"|aceitam|faz|fazem|é|são|poderia|consegue"
                r"|vende|vendem|concorda|fala)(?! (?:razão|que|muito))",
                r"vocês \S+(?<!ar)(?<!er)(?<!ir)(?:am|em)(?: \S++){0,4}$",
                r"(?:você )?(?:sabe (?:me|onde|se|como|qual|quem|quando|quanto|o que)|(?<=você )(?:me|nos) \S+a) \S+",
                r"(?:pode|podes|poderia|podem|posso|podemos|devo|precisa|dá pra|dá para|consigo)(?!"
                r" (?:ser que|deixar|ficar tranquil\S|crer|apostar))",
                r"(?:tem|há|existe|existem|havia|haverá|teria) (?:algum|alguma|alguns|algumas|como|mais"
                r"|alguém|algo|outro|outra|um|uma|wifi|estacionamento|desconto|vaga)",
                r"(?:dá tempo de|tem problema se|faz mal se) \S+",
                r"(?:é|era|seria|está|foi) (?:possível|verdade|permitido|necessário|obrigatório|seguro"
                r"|preciso|grátis|caro|aberto|incluído|aqui|isso)(?! que (?:eu|ele))",
                r"(?:vale|custa|funciona|demora|abre|fecha|chega|sai|fica|aceitam|vendem|serve) (?:o|a|os|as"
                r"|muito|longe|perto|cartão|aos|no|na|em|pra|para)",
            ),
            (r"pode ser",),
        ),
        Rule(
            "tag",
            "tag",
            0.75,
            "end",
            (
                r"(?<=\S )(?:né|não é|não é verdade|certo|não acha|não foi|não está|ou não|não tem|verdade"
                r"|correto|viu não)",
            ),
            (r"(?:é|está|tá|na|de) (?:certo|verdade|correto)$",),
        ),
        Rule(
            "question word in its place",
            "wh_word",
            0.75,
            "end",
            (
                r"\S+ (?:o quê|(?:por|para|pra|de) quê|onde|quando|quanto|quem|qual|como)",
                r"(?:é|são|foi|fica|vai ser) (?:em|de|por|com|para) que \S+",
                r"(?:custa|é|fica|são|vai|mora|quer|foi) (?:quanto|onde|quando|o que|qual|quem|que horas)"
                r"(?: \S++){0,2}",
            ),
            (r"de vez em quando", r"(?:é|foi) (?:o que|onde|quando|quem|como) (?:eu|ele|ela|nós|eles|a gente)"),
        ),
        Rule(
            "and this",
            "declarative",
            0.6,
            "opening",
            (r"e (?:o|a|os|as|no|na|para|pra|com|se|em|aos|à)(?: \S++){1,4}$",),
            (),
        ),
    ),
    open_ends=word_set(
        "o a os as um uma de do da dos das em no na nos nas com por para pra sem sobre até e ou que se"
        " porque mas meu minha"
        " seu sua este esta esse essa cada entre ao à"
    ),
    unfinished=(
        r"(?:o que|qual|quais|como|onde|quem) (?:é|são|está|posso|você)",
        r"(?:você |me )?(?:pode|poderia)(?: me)?(?: dizer| explicar)?",
        r"(?:eu )?(?:quero|queria|gostaria de)(?: saber)?",
    ),
)
decide = TABLE.decide
