"""English: a question shows at its front, less often in a tag at its end."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import IDIOM, IN_FRONT, Finding, without, word_set
from app.services.question_detector.table import Rule, Table

# Words may lose their apostrophe in a recogniser; only what cannot be another word is mended.
_CONTRACTIONS: Final = {
    **{
        f"{word}{spelling}": f"{word} {verb}"
        for word in ("what", "who", "where", "when", "why", "how")
        for spelling, verb in (("'s", "is"), ("'re", "are"), ("'d", "did"), ("'ll", "will"), ("s", "is"))
    },
    "which's": "which is",
    "dont": "don't", "doesnt": "doesn't", "didnt": "didn't", "isnt": "isn't", "arent": "aren't",
    "wasnt": "wasn't", "werent": "weren't", "havent": "haven't", "hasnt": "hasn't", "wont": "won't",
    "cant": "can't", "couldnt": "couldn't", "wouldnt": "wouldn't", "shouldnt": "shouldn't", "hadnt": "hadn't",
    "whatcha": "what are you", "wanna": "want to", "gonna": "going to",
    "d'you": "do you", "ya": "you",
}  # fmt: skip
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_FILLERS: Final = frozenset({"uh", "um", "uhm", "er", "erm", "hm", "hmm", "mm", "ah", "hum"})

_STUTTER: Final = re.compile(r" ([^ ]++(?: [^ ]++){0,3})(?: \1)+(?= |$)")

_PRONOUN: Final = r"(?:i|you|he|she|it|we|they|there|y'all|you're|it's|they're|we're|he's|she's|there's)"
_SUBJECT: Final = (
    r"(?:i|you|he|she|it|we|they|there|y'all|this|that|these|those|the|a|an|my|your|his|her|our|their|its|any"
    r"|some|all|both|most|many|more|each|every|either|one|two|people|anybody|anyone|anything|everybody"
    r"|everyone"
    r"|everything|somebody|someone|something|nobody|no one|nothing|other|another|folks|kids|women|men)"
)
_AUX: Final = (
    r"(?:is|are|was|were|am|do|does|did|have|has|had|can|could|will|would|shall|should|may|might|must"
    r"|isn't|aren't|wasn't|weren't|don't|doesn't|didn't|haven't|hasn't|hadn't|can't|couldn't|won't"
    r"|wouldn't|shouldn't|ain't)"
)
_NEGATED: Final = (
    r"(?:isn't|aren't|wasn't|weren't|don't|doesn't|didn't|haven't|hasn't|hadn't|can't|couldn't|won't"
    r"|wouldn't|shouldn't|ain't)"
)
_TAG_PRONOUNS: Final = ("i", "you", "he", "she", "it", "we", "they", "there", "that", "this", "those", "one")
_TAG_PRONOUN: Final = f"(?:{'|'.join(_TAG_PRONOUNS)})"
_SHORT: Final = "short answer"
# "On which shelf are the pads" asks, "in which the pads are" goes on. One shelf never stands without "the", "my" and
# the like, so what follows "on which shelf is" may be anything; behind other words it has to be a subject.
_ON_WHICH: Final = (
    r"(?:in|at|on|by|for|from|with|to|about|until|since|under|through|into|during|within|after|before) which"
)
_ONE: Final = (
    r"(?:room|floor|building|shelf|drawer|box|cabinet|aisle|page|chapter|section|folder|file|table|hall|office"
    r"|school|hotel|store|shop|city|town|country|street|gate|platform|station|stop|exit|line|day|date|month|year|week"
    r"|hour|version|language|order|format|name|address|account|number|department|team)"
)
_PLAIN: Final = (
    r"^(?:(?:(?:what|where|when|why|how|who)(?: (?!is |are |was |were )[a-z]+){0,3}? )?(?:do"
    r"|does|did|have|are|can|could|would|will|is|isn't|don't|should|was|were) (?:you|they|it"
    r"|there|he|she|we|that|i|your) (?!can |could |will |would |the only |not )[a-z])",
    r"^(?:(?:what|where|who|how|when) (?:is|are|was|were) (?:the|your|his|her|their|that|this|it"
    r"|he|she|they|you)\b(?!.* (?:is|was|are) ))",
    r"^(?:(?:what|how) about )",
    rf"^{_ON_WHICH} ",
)

# What follows the subject of "have the invoices ...": without it, "have the soup" is an advice.
_PERFECT: Final = (
    r"(?:been|ever|already|come|gone|begun|eaten|left|seen|given|taken|made|sold|paid|sent|got|gotten|won|found"
    r"|[a-z]+ed)"
)
_NO_NAME: Final = (
    r"(?!then |yeah |exactly |somebody |someone |everyone |everybody |people |guy |one |ones |those |i "
    r"|you |he |she |it |we |they |that |this |there |these |those |know |knows |guess |see |understand "
    r"|remember |tell |say |ask "
    r"|think |is |was |are |if |when |while |where |whatever |that's |it's |not |of |to |in |on |for |with"
    r" |as |than |about |from "
    r"|what |who |why |how |which |depending |figure |matter |forget |care |no |let |do |did |have |had "
    r"|because )"
)
# Somebody is called: by a greeting with a name, or by a name and a comma.
_CALLED: Final = re.compile(
    rf"(?:(?:okay|ok|so|and) )*(?:hey|hi|hello|dear) "
    rf"(?:there (?!is|are|was|were)|(?:(?:this is|it's|i'm|my name is) )?{_NO_NAME}[^\W\d_]+ )(?=\w)"
)
_CALLED_WITH_A_COMMA: Final = re.compile(
    rf"\s*(?:(?:hey|hi|hello|dear|okay|ok) )?{_NO_NAME}[^\W\d_]+(?: [^\W\d_]+)?,\s+(?=\w)"
)
# Words that something must follow, whatever came before.
_OPEN_END: Final = word_set(
    "a an the my your our their its and or but because if than as very every and/or i'm you're we're"
    " they're it's he's she's"
    " i've we've you've whose gonna going"
)
# Words that end a sentence only when something has moved to the front: "where is it from", "is it on".
_HANGING: Final = word_set(
    "of to in on at by for from with into onto about between is are was were be been am do does did have"
    " has had can could"
    " will would should may might what which who where when why how i we they he she it you that this"
    " these those there me us"
    " tell explain give show describe some any no not so get go like want need kind sort lot also"
    " just"
)
_PREPOSITIONS: Final = word_set("of to in on at by for from with into onto about between")
# Of these, the ones a statement may end with.
_CLOSING: Final = word_set(
    "in on by about is are was were be been am do does did have has had can could will would should what"
    " who where when why how"
    " it you that this these those there me us so not no some any like want need i we they he she"
)
_UNFINISHED: Final = re.compile(
    r"(?:.* )?(?:(?:can|could|would|will) (?:you|we|i|they)(?: (?:please|tell|explain|give|show|describe"
    r"|help|find|recommend|let))*(?: (?:me|us))?"
    r"|(?:what|where|when|why|how|who|which)(?: [a-z]+)? (?:do|does|did|can|could|should|would|will|have"
    r"|has|is|are|was|were)(?: (?:i|you|we|they|he|she))?"
    r"|(?:tell|explain|give|show)(?: (?:me|us|to))?(?: about)?|(?:do|does|did|should|is|are|was|were) (?:i"
    r"|you|we|they|he|she|it|there|that|this)|how (?:to|do|long|many|much) do(?:es)?"
    r"|(?:i|we) (?:want|need|would like|have|like|would|wonder|was wondering)(?: to(?: know)?| if)?|i'd"
    r" like(?: to(?: know)?)?|you know (?:what|how)|kind of|lot of|sort of|instead of|because of"
    r"|(?:problem|question|point|thing|reason) is(?: that)?|(?:and|but|because|so) (?:then )?(?:i|we|they"
    r"|he|she))$"
)
# A question word inside a statement: what would follow the last word stands there already.
_MOVED: Final = re.compile(r" (?:what|where|when|why|how|who|which|that|whatever) [a-z']+ ")
# What follows here is neither moved to the front nor left out: "the price of", "can i use it for".
_OPEN_PREPOSITION: Final = re.compile(
    rf"{_AUX} .*(?<!looking )(?<!asking )(?<!waiting )(?<!made )(?:of|for|with)$|(?:.* )?(?:between"
    r"|(?:the|a|an|my|your|our|their|his|her|its|any|some|no) (?:[a-z]+ )?(?![a-z]*ed |made |out )[a-z]+"
    r" (?:of|for|with|from|to))$"
)
_FINISHED: Final = re.compile(
    r"(?:what|where|when|why|how|who|whose|which)(?: [a-z]+){0,3} (?:is|are|was|were|am) (?:it|that|this"
    r"|there|you|he|she|they|we|i"
    r"|these|those)$"
    r"|(?:can|could|will|would) (?:you|somebody|anybody) (?:please )?help (?:me|us)$"
    r"|(?:are you|is it|is that it|do you|did you)$"
)


def normalise(sentence: str) -> str:
    """Lower-case words with single spaces: no fillers, no stutters, contractions of question words opened."""
    sentence = sentence.lower()
    # what has letters and spaces only is quicker to cut
    found = sentence.split() if sentence.replace(" ", "").isalpha() else _WORD.findall(sentence.replace("’", "'"))
    text = " ".join([_CONTRACTIONS.get(word, word) for word in found if word not in _FILLERS])
    spoken = text.split()
    return _STUTTER.sub(r" \1", f" {text}")[1:] if len(set(spoken)) < len(spoken) else text


def _is_open(whole: str, text: str, finding: Finding) -> bool:
    last = text.rpartition(" ")[2]
    if last in _OPEN_END:
        return True
    if last in _PREPOSITIONS and finding.asks and _OPEN_PREPOSITION.match(text):
        return True
    if last not in _HANGING or finding.reason in {"tag", "backchannel"} or _FINISHED.match(text):
        return False
    if not finding.asks and _MOVED.search(text):
        return False
    if finding.reason == "request" and last in _PREPOSITIONS:
        return not _MOVED.search(text)
    return _UNFINISHED.match(whole) is not None or not (finding.asks or " " not in text or last in _CLOSING)


class _English(Table):
    """Who is called may stand without a comma, behind a greeting; how a sentence ends depends on what it is."""

    def decide(self, sentence: str) -> Finding:
        whole = normalise(sentence)
        text = without(self.lead_words, whole)
        finding = self.judge(whole, text)
        if finding.rule in {_SHORT, IDIOM}:
            return finding
        if not finding.asks and (called := _CALLED.match(whole) or _CALLED_WITH_A_COMMA.match(sentence.lower())):
            rest = normalise(called.string[called.end() :])
            asked = self.judge(rest, rest)
            if asked.reason in IN_FRONT:
                finding, text = asked, rest
        if _is_open(whole, text, finding):
            return Finding(finding.reason, finding.confidence * self.doubt, is_complete=False, rule=finding.rule)
        return finding


TABLE: Final = _English(
    # "like" and "now" too: a clause seldom starts with their other meaning.
    lead=(
        r"so|well|(?:okay|ok)(?! google\b)|and|but|or|oh|yeah|yep|yes|no|nope|now|then|(?:hey|hi)(?! google\b)",
        r"hello|right|alright|actually",
        r"anyway|anyways|basically|like|just|wait|sorry|please|because|cause|also|again|say|gee|gosh|boy|man",
        r"wow|listen|look(?! (?:up|for|into)\b)|sure|great|good|cool|fine|nice(?! weather)|perfect|thanks",
        r"(?:let's see|let me see)(?! (?:what|how|if|who|where|when|why|whether|which)\b)|excuse me|i mean",
        r"(?:you know|i guess|i don't know|see)(?! (?:what|how|why|where|who|when|which|if|whether|that|about)\b)",
        r"i suppose|(?:ok|okay|hey|hi) google|i said|all right|thank you|uh|by the way|for example",
        r"first of all|in other words|first|second|finally|otherwise|anyhow|maybe|really|still|hold on",
        r"wait a minute|siri|alexa|cortana|assistant|bot|chatbot|in fact|out of curiosity",
        r"quick question(?: on that)?|i forgot to ask(?: you)?|i was (?:just )?going to (?:ask|say)(?: you)?",
        r"let me ask(?: you)?|i(?:'m| am) sorry|one more thing",
    ),
    rules=(
        Rule(
            "short answer",
            "statement",
            0.9,
            "match_all",
            (rf"(?:so|neither|nor|as|than) {_AUX} (?:i|you|he|she|it|we|they)$",),
        ),
        Rule(
            "backchannel",
            "backchannel",
            0.9,
            "match",
            (
                r"(?!what (?:is|are|do|did|does|was)\b|are you sure)(?:(?:really|right|oh|yeah|huh|okay|ok"
                r"|sure|yes|no|wow|hm|mhm|uh huh|you know|i see|pardon|what|sorry|is that right|is that so"
                r"|is it|are you|do you|did you|does it|did they|do they|is he|was it|have you|they do|it is"
                r"|he is|you did|you do|isn't it|see|you see|know what i mean|you know what i mean|get"
                r" it)(?: |$)){1,6}$",
            ),
        ),
        # Said to say something else.
        Rule(
            IDIOM,
            "statement",
            0.9,
            "match",
            (
                r"(?:what is|what's) the (?:point|use|big deal)$",
                r"are you (?:kidding|joking|serious|crazy)(?: me)?$",
                r"are you out of your mind$",
                r"what (?:on earth|in the world)$",
                r"what is the world coming to$",
                r"what is wrong with (?:you|him|her|them|people)$",
                r"what is not to (?:like|love)$",
                r"what (?:gives|of it)$",
                r"what (?:was|were) (?:i|you|he|she|they) thinking$",
                r"how about that$",
                r"how do you like that$",
                r"how (?:should|would) i know$",
                r"how (?:should|can|shall|do) i (?:put|say) (?:it|this|that)$",
                r"how could (?:i|we|anyone) forget$",
                r"what do (?:i|you) know$",
                r"what did i (?:tell you|say)$",
                r"didn't i (?:tell you|say so)$",
                r"what are the odds$",
                r"isn't (?:that|it) (?:something|great|nice|funny|amazing|lovely|wonderful|terrible|awful)$",
                r"who (?:would have|would've|could have) (?:thought|known|guessed)$",
                r"who (?:isn't|doesn't|wouldn't)$",
                r"who asked you$",
                r"who (?:am i|are you|is he|is she|are they) (?:to judge|kidding|trying to kid)$",
                r"(?:why should i care|since when do you care)$",
                r"where do i even (?:begin|start)$",
                r"where (?:was i|were we)$",
                r"am i right$",
                r"do i look like ",
                r"what difference does it make$",
                r"what else is new$",
                r"how hard can (?:it|that) be$",
                r"can you believe (?:it|that|this)$",
                r"would(?:n't)? you (?:believe|know) it$",
                r"(?:will|would) you look at (?:that|this)$",
                r"do you mind$",
                r"tell me about it$",
                r"tell me something (?:new|i don't know)$",
            ),
        ),
        # With a mark it asks.
        Rule("why not", "statement", 0.9, "match", (r"why (?:not|bother)$", r"what can i say$")),
        Rule(
            "ask me to tell",
            "request",
            0.85,
            "match",
            (
                r"(?:please |kindly |go ahead and )?(?:tell (?:me|us|about)\b|explain\b|describe\b|define\b(?!"
                r" the the)|summari[sz]e\b|compare\b|clarify\b|elaborate\b|calculate\b|translate\b|convert\b"
                r"|recommend\b|suggest\b|look up (?!there\b|from\b|at\b|to\b|in\b)[a-z]|look into (?:the|my|our"
                r"|what|how|why|whether) |search\b|find out\b|find me\b|google\b|(?:walk|run|talk|take) (?:me"
                r"|us) through|fill (?:me|us) in|refresh my memory|bring (?:me|us) up to|(?:outline|recap"
                r"|sum up|break down|lay out|spell out|list) (?:the|what|how|our|my|all|these|this)\b|name"
                r" (?:the|some|all|a few|a|one|two|three|four|five)\b|spell the\b|remind (?:me|us) (?:what|how"
                r"|who|when|where|why|which)\b|update me|notify me of|direct me|show (?:me|us)\b|(?:check|show"
                r"|find|list|display|report|read)(?: me)?(?: out)? (?:all|any|the|my|a|an|some|for|if"
                r"|whether|to see|today's|tomorrow's|current|latest|recent|nearby|local|unread|new|emails?"
                r"|details|information|news|weather)\b|(?:give|get|send|bring|pull) (?:me |us |up )?(?:the "
                r"|some |more |all |any |a |an |today's |current |latest |recent |local )*(?:list|summary"
                r"|overview|brief|quick|short|example|examples|idea|explanation|information|info|details"
                r"|ideas|advice|background|news|headlines|directions|weather|price|prices|status|number"
                r"|address|definition|description|results|update|updates|opening)\b|(?:give|get) (?:me|us)"
                r" (?:a|an|the|some) (?:[a-z]+ )?(?:estimate|gist|highlights|breakdown|recap|rundown"
                r"|reasons?|options|steps|comparison|facts|report|schedule|recipe|timeline|link|time|date"
                r"|name|hint|tip|tips)\b|(?:pull|bring) up (?:the|my|our|all)\b|(?:give|get) (?:me|us) (?:the"
                r"|all|some) (?:[a-z]+ )?(?:numbers?|figures|names?|dates?|total|amount|hours)\b|look for"
                r" (?:the|my|our|any|some)\b|let (?:me|us) know (?:what|how|when|where|who|why|which|if"
                r"|whether|about|the)\b|help (?:me|us) (?:to )?(?:understand|find|figure|learn)\b|definition"
                r" of\b|directions to\b|weather (?:for|in|on|today|tomorrow)\b|latest news\b)",
                r"(?:run through|share) (?:the|your|our|all) (?:[a-z]+ )?(?:agenda|steps|numbers|figures|results"
                r"|details|list|plan|data|report)\b",
                r"(?:brief|quote|clue) (?:me|us) ",
                r"teach (?:me|us) (?:how|about|what|the)\b",
                r"show (?:how|what|where|which)\b",
                r"(?:estimate|count|state|verify|double check) (?:the|my|our|how|whether|if|all)\b",
                r"give the (?:reasons?|numbers?|details|date|name)\b",
                r"(?:i would|i'd|i|we|we'd|i'm) (?:really )?(?:just )?(?:like|love|want|need|wanna|wanted"
                r"|curious|trying|dying|interested|looking) (?:you )?(?:to (?:know|ask (?:you|about|if|what"
                r"|how|why|whether)|hear (?:about|more|what|how|your)|learn|find out|understand|see if)"
                r"|(?:some )?(?:info|information|details)|about|in knowing|if|how|what|why|whether)\b",
                r"(?:i )?(?:was |am |'m |was just |just |kind of |have (?:always |often )?|'ve (?:always "
                r"|often )?|i've (?:always |often )?)*wonder(?:ing|ed)? (?:if(?! not)|whether|what|how|why"
                r"|where|who|when|which|about)\b",
                r"i'm (?:just )?(?:wondering|curious)\b",
                r"(?:the|my|another|one|a) (?:other |next |first |only |last |big |real |main )?question"
                r" (?:is|was|i had is|would be|i have is|for you is) (?!like|basically)[a-z]",
                r"(?:can|could|will|would) (?:you|somebody|someone|anyone|anybody) (?:please |just |maybe "
                r"|also |kindly )*(?:tell|explain|describe|define|summari[sz]e|compare|clarify|elaborate"
                r"|recommend|suggest|advise|translate|calculate|convert|show|give|find|look|check|search"
                r"|list|read|say|walk|help|teach|remind (?:me|us) (?:what|how|who|when|where|why))\b",
                r"(?:can|could|may) (?:i|we) (?:please |just |also )?(?:know|ask|hear(?! some\b)|get|see|have) (?:about"
                r"|what|how|if|the|a|some|more|your|you)\b",
            ),
            exceptions=(
                r"\bshow (?:me|us) (?:the |my )?(?:last|next|first|previous) (?:episode|song|video|movie|film|track)\b",
                r"\b(?:give|send|get) (?:me|us) .*\bupdates?\b.* every (?:[a-z]+ )?(?:minutes?|hours?|day|week)$",
            ),
        ),
        # An action, asked for politely, is not a question that a text answers.
        Rule(
            "command",
            "command",
            0.9,
            "match",
            (
                r"(?:can|could|will|would) you (?:please |just |kindly )?(?:turn|switch|play|stop|start|set"
                r"|open|close|shut|call|send|email|text|message|remind|add|remove|delete|cancel|order|book"
                r"|buy|make|create|put|change|lower|raise|increase|decrease|mute|pause|resume|skip|dim|pass"
                r"|move|bring|post|tweet|reply|schedule|save|clear|speak|repeat|shuffle|run|clean|wake|continue"
                r"|forward|rewind|have [a-z]+ (?:be|come|call|bring|pick))\b",
                r"(?:can|could|may) i (?:please )?(?:have|hear|get|order|listen)\b",
                r"(?:please )?(?:turn|switch|play|stop|start|set|open|close|shut|call|send|email|text|remind"
                r"|add|remove|delete|cancel|order|book|buy|create|mute|pause|resume|skip|dim|tweet|reply"
                r"|schedule|save)\b",
            ),
        ),
        Rule(
            "exclamation",
            "exclamation",
            0.7,
            "match",
            (r"(?:what an?|how (?:nice|funny|cute|awful|terrible|sad|interesting|neat|wonderful|lovely|sweet))\b",),
        ),
        # A clause that another one is built on, or a rhetorical formula.
        Rule(
            "clause",
            "relative",
            0.8,
            "match",
            (
                rf"(?:what|which|where|when|why|how|who|whatever|whenever|wherever) {_PRONOUN}\b",
                r"who (?:knows|cares|needs)\b",
                r"(?:whatever|whenever|wherever|whichever|however|whoever)\b",
                r"which (?:is|are|was|were|means|makes|made|i|you|has|had|have|would|could|will|can|should"
                r"|might|may|does|doesn't|isn't|wasn't|do|did|didn't|don't|really|kind|sort|seems|the|a|in"
                r"|to|of|for|at)\b",
                rf"(?:how|which) (?!{_AUX} |about |come )[a-z]+ (?:(?!{_AUX} )[a-z]+ ){{0,2}}?(?:{_PRONOUN}"
                rf"|[a-z]+'(?:re|ll|ve|d|m)) ",
                r"which [a-z]+s (?:me|us|him|her|them|you|it|people|everybody|everyone|the)\b",
                r"what (?:is|was|are) [a-z ]{1,30}\b(?:is|was|are) (?:that|to|when|if|the|a)\b",
                r"what (?:might|could|would) (?:get|help|work|come|happen|do|make|go) [a-z ]{1,60}\b(?:is|was) (?:that"
                r"|to|when|if|the|a|kind|just)\b",
                r"what [a-z]+'s [a-z]+ing (?:is|was|seems|sounds|looks)\b",
                r"what (?:happened|happens|made|makes)(?: (?!if |when |while |after |before |to"
                r" )[a-z]+){0,3} (?:is|was)\b",
            ),
        ),
        # Question word first, and then what only a question has. Some so plainly ask that a full stop is taken for a
        # mistake of the recogniser.
        Rule(
            "question word in front",
            "wh_front",
            0.9,
            "match",
            (
                r"(?:what (?:if|about|else|for|then|exactly)|how (?:about|come|else|so|exactly|to)|why"
                r" (?:not|so|else|bother))\b",
                rf"{_ON_WHICH} (?!{_SUBJECT} |as |at |in |of |if |when )(?:[a-z]+ ){{1,3}}?{_AUX} {_SUBJECT}\b",
                rf"{_ON_WHICH} (?:[a-z]+ )?{_ONE} {_AUX} [a-z]",
                r"(?:in|at|on|by|for|with|from|to|of|about|until|since|under|through) (?:what|whose|whom|how"
                r" (?:much|many|long|far|often))\b",
                r"(?:why|when|where|who|whose|which one|which ones|how many|how much|how long|how often|how"
                r" far|how old|how big|what kind|what time|how come|whereabouts|since when|until when"
                r"|(?:where|when|how|who) exactly)$",
                rf"(?:what|which|who|whom|whose|where|when|why|how) (?:else |exactly |the (?:hell|heck)"
                rf" )?(?:do|does|did|can|could|will|would|shall|should|has|have|had|may|might|must"
                rf"|{_NEGATED}) (?:not )?\w",
                r"(?:what|who|where|when|why|how|which one|which) (?:is|are|was|were|am)(?: |$)",
                rf"(?:what|which|whose) (?!{_PRONOUN} |{_PRONOUN}$|a |an |the |this |that |these |those |my "
                rf"|his |her |our |your |their |people |happens |happened |makes |made |means |meant |could "
                rf"|would |might |will |has |had |have |may |i'm |i've |i'd |you've |you'd |we've |they've "
                rf"|is |are |was |were |really |basically |kind of like )[a-z]",
                r"how (?:many|much|long|often|far|old|big|tall|fast|soon|hard|high|late|deep|large|wide"
                r"|early|heavy|expensive|well|important|likely|good|bad|difficult|easy|accurate)\b",
                rf"who (?!{_PRONOUN} |knows|cares|the |that |have |had |don't |didn't |are |were |was |is "
                rf"|has |do |would )[a-z]",
                r"what (?:happens|happened|makes|made)\b",
            ),
            sure=(0.97, _PLAIN),
        ),
        # Starts that look inverted and are imperatives, wishes or conditions.
        Rule(
            "not inverted",
            "statement",
            0.9,
            "match",
            (
                r"do (?:it|that|this|some|all|any|a|both|not)\b",
                r"do (?:the|your|my|these|those)\b(?! [a-z]+ (?:[a-z]+ ){0,3}(?:have|need|want|get|know|come"
                r"|go|take|use|work|make|still|also|ever|contain|cost|mean|look|sell|accept|like|think"
                r"|believe|require|support|exist|include|run|live|eat|play|open|start|fit|help|matter|happen"
                r"|affect|cause)\b)",
                r"have (?:a|some|fun)\b",
                rf"have (?:the|your)\b(?! [a-z]+ (?:[a-z]+ )?{_PERFECT}\b)",
                r"(?:had|should|were) (?:i|you|he|she|it|we|they|there)\b.* (?:i|you|he|she|we|they)(?:'d|"
                r" would| could| might)\b",
                r"should (?:you|i|we|they) .+ (?:you can|you will|you'll|please|call|just|let|feel free)\b",
                r"(?:was|were|is|did) (?:a|an|the one|all|more|most|one of)\b",
                r"(?:was|were|is|did) my [a-z]+(?:$| (?:from|who|and|in|at|of|that|because|so)\b)",
                r"will do\b",
                r"may you\b",
            ),
        ),
        Rule(
            "inversion",
            "inversion",
            0.9,
            "match",
            (
                rf"(?:is|are|was|were|isn't|aren't|wasn't|weren't|ain't) (?:not )?(?:(?:{_SUBJECT})\b(?! lot\b"
                rf"| little bit\b)|[a-z]+ and )",
                r"(?:do|does|did|doesn't|didn't) (?:i|you|he|she|we|they|people|any|the|your|my|our|their"
                r"|his|these|those|most|all|some|both|kids|women|men|folks|anybody|anyone|everybody"
                r"|everyone)\b",
                r"(?:does|did|doesn't|didn't) (?:it|this|that|there|a)\b",
                r"does (?!not |so |a |an |the job|that's |well|really |very )[a-z]+ ",
                r"did (?!not |some |all |so |a |an |my |really |very |good |well |pretty |just |have |get "
                r"|something |nothing |what |in )[a-z]+ [a-z]",
                r"(?:is|are) (?!not |better |how |very |really |just |so |kind |sort |like |that's |what "
                r"|why |where |when |much |more |less |too |pretty |quite |also |still |always |never "
                r"|actually |basically |probably |only |good |bad |great |nice |in |on |at |to |for |from "
                r"|of |with |by |as |if |because |and |or |even |usually |generally |about |is |it's |been "
                r"|up |out |off |no |now |then |[a-z]+(?:ly|ing|ed) )[a-z]+ [a-z]",
                r"don't (?:you|they|we|i|people|most|the|your)\b(?! dare| worry)",
                r"(?:have|has|had|haven't|hasn't|hadn't) (?:you|he|she|it|we|they|there|anyone|anybody"
                r"|anything|your|i|the [a-z]+ been)\b",
                rf"(?:have|has|had) (?:those|these|the|any|all|my|your|our|his|her) [a-z]+ (?:[a-z]+ )?{_PERFECT}\b",
                r"(?:have [a-z]+s(?<! always)|has (?!always |never |not |just |already |long |also |[a-z]+ly"
                r" )[a-z]+) been [a-z]",
                rf"(?:can|could|will|would|should|shall|can't|couldn't|won't|wouldn't|shouldn't) (?:{_SUBJECT})\b",
                r"(?:may|might|am|must) i\b",
            ),
            sure=(0.97, _PLAIN),
        ),
        Rule(
            "name in front",
            "inversion",
            0.8,
            "match",
            (
                rf"{_NO_NAME}[a-z]+ (?=(?:what|where|when|why|how|who) (?:(?:is|are|was|were) (?:the|a|your"
                rf"|my|our|this|that|it|you|he|she|they|we|there|one)|(?:do|does|did|can|could|should|would"
                rf"|will) [a-z]+) [a-z]|(?:is|are) (?:there|it|they|you|this) [a-z]|(?:do|does|did|have|has"
                rf"|can|could|would|will) (?:you|he|she|they) [a-z])",
            ),
        ),
        Rule(
            "tag",
            "tag",
            0.8,
            "match",
            (
                rf"(?:.* )?{_NEGATED} (?!you know$){_TAG_PRONOUN}(?: (?:either|though|now|then|still|too"
                rf"|sort of|i mean|you know|i guess))*$",
                r".*(?:n't|\bnot|\bnever|\bno|\bnobody|\bnothing|\bhardly) (?:.* )?(?:(?:is|are|was|were|does|did"
                r"|have|has|can|could|will|would) (?:i|you|he|she|it|we|they|there)|do (?:i|you|we|they))$",
                r".+ (?:or not|or what|is that (?:right|correct|true)|is it not|or no|am i right|don't you"
                r" think|do you think|(?<!to )do you know|you know what i mean|isn't that (?:right|true|so)"
                r"|(?<!what )(?<!see )(?<!know )you mean)$",
                r"(?!.* (?:or|and|but) ).{3,60} huh$",
            ),
            # looked for first: it is quicker
            also=(
                rf" (?:{'|'.join(_TAG_PRONOUNS)}|either|though|now|then|still|too|of|mean|know|guess|not|what|right"
                r"|correct|true|no|think|so|huh)$",
            ),
            exceptions=(
                rf"^(?:.*\b(?:what|how|why|where|who|when|if|whether|as|than|so|like|which|because|it|he|she"
                rf"|they|we|you) {_AUX} {_TAG_PRONOUN}$)",
                r"^(?:.*\b(?:whether|if)\b.* or not$)",
            ),
            sure=(0.96, (r" (?:isn't|wasn't|doesn't|didn't|don't|aren't) (?:it|they|there|he|she)$",)),
        ),
        Rule(
            "statement that asks",
            "declarative",
            0.7,
            "match",
            (
                r"you mean\b",
                r"(?:i don't know|i do not know|i'm not sure|don't know) if you(?:'ve| have|'re familiar| ever)\b",
                r"(?:any (?:idea|ideas|thoughts|questions|chance|news|luck|other)|anything else|any(?:body"
                r"|one) (?:else|know|have|want|got|need))\b",
                r"you (?:ready|ever)\b",
                r"ever ",
            ),
        ),
        # A question inside: a clause or a name before it, a clause after it; not indirect speech, and not clauses that
        # keep the inverted order.
        Rule(
            "question behind a clause",
            "inversion",
            0.7,
            "search",
            (
                r" (?:what|where|when|why|how|who) (?:do|does|did|can|could|should|would|will) (?:i|you|he"
                r"|she|it|we|they|the|your) ",
                r" what (?:time|kind|kinds|sort|color|colour|size|year|day|type) (?:of [a-z]+ )?(?:do|does"
                r"|did|is|are|was|will|should|can) ",
                r" (?:do|did|are|have|were) you (?!know (?!what|where|who|when|why|how|if|the|any)|are |have"
                r" |do |and )(?!$)",
                r" (?:what|how) about ",
            ),
            not_behind=(
                r"\b(?:say|said|says|saying|think|thinking|know|known|like|of|as|than|which|asked|or|what"
                r"|where|how|why|variety|region|to|we|they|is|was|about)$",
            ),
        ),
        Rule(
            "tag behind a clause",
            "tag",
            0.6,
            "search",
            ("|".join(rf"(?<!{word}) {_NEGATED} (?!you know){word}\b(?= [a-z])" for word in _TAG_PRONOUNS),),
            also=(r"n't ",),
            not_behind=(
                r"\b(?:say|said|says|saying|think|thinking|know|known|like|of|as|than|which|asked|or|what"
                r"|where|how|why|variety|region|to|we|they|is|was|about)$",
            ),
        ),
    ),
    doubt=0.6,
    rest=Finding("statement", 0.9, rule="statement"),
)
decide = TABLE.decide
