"""English: a question shows at its front, less often in a tag at its end."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import IN_FRONT, Finding, word_set

_STATEMENT: Final = Finding("statement", 0.9)

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

# Words before the sentence proper. "like" and "now" too: a clause seldom starts with their other meaning.
_LEAD: Final = re.compile(
    r"(?:(?:so|well|okay|ok|and|but|or|oh|yeah|yep|yes|no|nope|now|then|hey|hi|hello|right|alright|actually"
    r"|anyway|anyways|basically|like|just|wait|sorry|please|because|cause|also|again|say|gee|gosh|boy|man|wow"
    r"|listen|look(?! (?:up|for|into)\b)"
    r"|sure|great|good|cool|fine|nice(?! weather)|perfect|thanks|(?:let's see|let me see)(?! (?:what|how"
    r"|if|who|where|when|why|whether|which)\b)|excuse me|i mean"
    r"|(?:you know|i guess|i don't know|see)(?! (?:what|how|why|where|who|when|which|if|whether|that"
    r"|about)\b)"
    r"|i suppose|(?:ok|okay|hey|hi) google|i said|all right|thank you|uh|by the way|for example|first of"
    r" all|in other words"
    r"|first|second|finally|otherwise|anyhow|maybe|really|still|hold on|wait a minute"
    r"|siri|alexa|cortana|assistant|bot|chatbot"
    r"|in fact|out of curiosity|quick question(?: on that)?|i forgot to ask(?: you)?"
    r"|i was (?:just )?going to (?:ask|say)(?: you)?|let me ask(?: you)?|i(?:'m| am) sorry|one more thing) )+"
)
_STUTTER: Final = re.compile(r"\b([\w']+(?: [\w']+){0,3})(?: \1)+\b")

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
_TAG_PRONOUN: Final = r"(?:i|you|he|she|it|we|they|there|that|this|those|one)"

# Question word first, and then what only a question has.
_WH_FRONT: Final = re.compile(
    # "what if", "how about", "why not"; "how come"
    r"(?:what (?:if|about|else|for|then|exactly)|how (?:about|come|else|so|exactly|to)|why (?:not|so|else"
    r"|bother))\b"
    # "in what year", "by how much"
    r"|(?:in|at|on|by|for|with|from|to|of|about|until|since|under|through) (?:what|whose|whom|how (?:much"
    r"|many|long|far|often))\b"
    # bare
    r"|(?:why|when|where|who|whose|which one|which ones|how many|how much|how long|how often|how far|how old"
    r"|how big|what kind|what time|how come|whereabouts)$"
    # an auxiliary with its subject
    rf"|(?:what|which|who|whom|whose|where|when|why|how) (?:else |exactly |the (?:hell|heck) )?"
    rf"(?:do|does|did|can|could|will|would|shall|should|has|have|had|may|might|must|{_NEGATED}) "
    r"(?:not )?\w"
    r"|(?:what|who|where|when|why|how|which one|which) (?:is|are|was|were|am)(?: |$)"
    # "what kind of car", "how many people", "which one"
    rf"|(?:what|which|whose) (?!{_PRONOUN} |{_PRONOUN}$|a |an |the |this |that |these |those |my |his |her"
    rf" |our "
    r"|your |their |people |happens |happened |makes |made |means |meant |could |would |might |will |has "
    r"|had |have "
    r"|may |i'm |i've |i'd |you've |you'd |we've |they've |is |are |was |were |really |basically |kind of"
    r" like )[a-z]"
    r"|how (?:many|much|long|often|far|old|big|tall|fast|soon|hard|high|late|deep|large|wide|early|heavy"
    r"|expensive|well"
    r"|important|likely|good|bad|difficult|easy|accurate)\b"
    # "who wrote that"
    rf"|who (?!{_PRONOUN} |knows|cares|the |that |have |had |don't |didn't |are |were |was |is |has |do "
    rf"|would )[a-z]"
    r"|what (?:happens|happened|makes|made)\b"
)
# ... unless it is a clause that another one is built on, or a rhetorical formula.
_WH_CLAUSE: Final = re.compile(
    rf"(?:what|which|where|when|why|how|who|whatever|whenever|wherever) {_PRONOUN}\b"
    r"|who (?:knows|cares|needs)\b|what a\b|what an\b"
    r"|(?:whatever|whenever|wherever|whichever|however|whoever)\b"
    r"|which (?:is|are|was|were|means|makes|made|i|you|has|had|have|would|could|will|can|should|might|may"
    r"|does|doesn't"
    r"|isn't|wasn't|do|did|didn't|don't|really|kind|sort|seems|the|a|in|to|of|for|at)\b"
    # "what is interesting is that", "what happened was"
    # "how easy it is", "how much profit they make", "which segment they belonged to"
    rf"|(?:how|which) (?!{_AUX} |about |come )[a-z]+ (?:(?!{_AUX} )[a-z]+ ){{0,2}}?(?:{_PRONOUN}"
    rf"|[a-z]+'(?:re|ll|ve|d|m)) "
    r"|which [a-z]+s (?:me|us|him|her|them|you|it|people|everybody|everyone|the)\b"
    r"|what (?:is|was|are) [a-z ]{1,30}\b(?:is|was|are) (?:that|to|when|if|the|a)\b"
    # "what happens then is", but not "what happens when dify is slow"
    r"|what (?:happened|happens|made|makes)(?: (?!if |when |while |after |before |to )[a-z]+){0,3} (?:is|was)\b"
)
# What follows the subject of "have the invoices ...": without it, "have the soup" is an advice.
_PERFECT: Final = r"(?:been|ever|already|come|gone|begun|[a-z]+ed)"
_INVERSION: Final = re.compile(
    r"(?:is|are|was|were|isn't|aren't|wasn't|weren't|ain't) "
    rf"(?:not )?(?:(?:{_SUBJECT})\b(?! lot\b| little bit\b)|[a-z]+ and )"
    r"|(?:do|does|did|doesn't|didn't) (?:i|you|he|she|we|they|people|any|the|your|my|our|their|his|these"
    r"|those|most|all"
    r"|some|both|kids|women|men|folks|anybody|anyone|everybody|everyone)\b"
    r"|(?:does|did|doesn't|didn't) (?:it|this|that|there|a)\b"
    r"|does (?!not |so |a |an |the job|that's |well|really |very )[a-z]+ "
    r"|did (?!not |some |all |so |a |an |my |really |very |good |well |pretty |just |have |get |something "
    r"|nothing |what |in )[a-z]+ [a-z]"
    # "is boston in new england"; adverbs, adjectives and participles show a dropped subject instead.
    r"|(?:is|are) (?!not |better |how |very |really |just |so |kind |sort |like |that's |what |why |where "
    r"|when |much |more |less "
    r"|too |pretty |quite |also |still |always |never |actually |basically |probably |only |good |bad "
    r"|great |nice |in |on |at |to "
    r"|for |from |of |with |by |as |if |because |and |or |even |usually |generally |about |is |it's |been "
    r"|up |out |off |no |now |then "
    r"|[a-z]+(?:ly|ing|ed) )[a-z]+ [a-z]"
    r"|don't (?:you|they|we|i|people|most|the|your)\b(?! dare| worry)"
    r"|(?:have|has|had|haven't|hasn't|hadn't) (?:you|he|she|it|we|they|there|anyone|anybody|anything|your"
    r"|i|the [a-z]+ been)\b"
    rf"|(?:have|has) (?:those|these|the|any|all|your|our|his|her) [a-z]+ (?:[a-z]+ )?{_PERFECT}\b"
    # nobody is told to have been; an adverb shows a dropped subject
    r"|(?:have [a-z]+s(?<! always)|has (?!always |never |not |just |already |long |also |[a-z]+ly )[a-z]+) been [a-z]"
    rf"|(?:can|could|will|would|should|shall|can't|couldn't|won't|wouldn't|shouldn't) (?:{_SUBJECT})\b"
    r"|(?:may|might|am|must) i\b"
    r"|are (?:we|you|they)\b"
)
# So plainly a question that a full stop is taken for a mistake of the recogniser.
_PLAIN: Final = re.compile(
    r"(?:(?:what|where|when|why|how|who)(?: (?!is |are |was |were )[a-z]+){0,3}? )?(?:do|does|did|have|are"
    r"|can|could|would|will|is|isn't|don't|should|was|were) "
    r"(?:you|they|it|there|he|she|we|that|i|your) (?!can |could |will |would |the only |not )[a-z]"
    r"|(?:what|where|who|how|when) (?:is|are|was|were) (?:the|your|his|her|their|that|this|it|he|she|they"
    r"|you)\b(?!.* (?:is|was|are) )|(?:what|how) about "
)
# Starts that look inverted and are imperatives, wishes or conditions.
_NOT_INVERSION: Final = re.compile(
    r"(?:do (?:it|that|this|some|all|any|a|both|not)\b|do (?:the|your|my|these|those)\b(?! [a-z]+"
    r" (?:[a-z]+ ){0,3}(?:have|need|want|get|know|come|go|take|use|work|make|still|also|ever|contain|cost"
    r"|mean|look|sell|accept|like|think|believe|require|support|exist|include|run|live|eat|play|open|start"
    r"|fit|help|matter|happen|affect|cause)\b)|have (?:a|some|fun)\b"
    rf"|have (?:the|your)\b(?! [a-z]+ (?:[a-z]+ )?{_PERFECT}\b)"
    r"|(?:had|should|were) (?:i|you|he|she|it|we|they|there)\b.* (?:i|you|he|she|we|they)(?:'d| would|"
    r" could| might)\b"
    r"|should (?:you|i|we|they) .+ (?:you can|you will|you'll|please|call|just|let|feel free)\b"
    r"|(?:was|were|is|did) (?:a|an|the one|all|more|most|one of)\b"
    # "is my friend", "was my brother who ...", but "is my data stored"
    r"|(?:was|were|is|did) my [a-z]+(?:$| (?:from|who|and|in|at|of|that|because|so)\b)|will do\b|may you\b)"
)
_REQUEST: Final = re.compile(
    r"(?:please |kindly |go ahead and )?(?:"
    r"tell (?:me|us|about)\b|explain\b|describe\b|define\b(?! the the)|summari[sz]e\b|compare\b|clarify\b"
    r"|elaborate\b|calculate\b"
    r"|translate\b|convert\b|recommend\b|suggest\b|look up\b|search\b|find out\b|find me\b|google\b"
    r"|walk (?:me|us) through|remind (?:me|us) (?:what|how|who|when|where|why|which)\b|update me|notify me"
    r" of|direct me"
    r"|show (?:me|us)\b|(?:check|show|find|list|display|report|read)(?: me)?(?: out)? (?:all|any|the|my|a"
    r"|an|some|for|if|whether|to see"
    r"|today's|tomorrow's|current|latest|recent|nearby|local|unread|new|emails?|details|information|news"
    r"|weather)\b"
    r"|(?:give|get|send|bring|pull) (?:me |us |up )?(?:the |some |more |all |any |a |an |today's |current "
    r"|latest |recent |local )*"
    r"(?:list|summary|overview|brief|quick|short|example|examples|idea|explanation|information|info"
    r"|details|ideas|advice"
    r"|background|news|headlines|directions|weather|price|prices|status|number|address|definition"
    r"|description|results|update|updates|opening)\b"
    r"|let (?:me|us) know (?:what|how|when|where|who|why|which|if|whether|about|the)\b"
    r"|help (?:me|us) (?:to )?(?:understand|find|figure|learn)\b"
    r"|definition of\b|directions to\b|weather (?:for|in|on|today|tomorrow)\b|latest news\b)"
    r"|(?:i would|i'd|i|we|we'd|i'm) (?:really )?(?:just )?(?:like|love|want|need|wanna|wanted|curious"
    r"|trying|dying|interested|looking) "
    r"(?:you )?(?:to (?:know|ask (?:you|about|if|what|how|why|whether)|hear (?:about|more|what|how|your)"
    r"|learn|find out|understand|see if)|(?:some )?(?:info|information|details)|about|in knowing|if|how"
    r"|what|why|whether)\b"
    r"|(?:i )?(?:was |am |'m |was just |just |kind of |have (?:always |often )?|'ve (?:always |often )?"
    r"|i've (?:always |often )?)*wonder(?:ing|ed)? (?:if(?! not)|whether|what|how|why|where|who|when|which"
    r"|about)\b"
    r"|i'm (?:just )?(?:wondering|curious)\b"
    r"|(?:the|my|another|one|a) (?:other |next |first |only |last |big |real |main )?question (?:is|was|i"
    r" had is|would be|i have is|for you is) (?!like|basically)[a-z]"
    r"|(?:can|could|will|would) (?:you|somebody|someone|anyone|anybody) (?:please |just |maybe |also "
    r"|kindly )*(?:tell|explain|describe"
    r"|define|summari[sz]e|compare|clarify|elaborate|recommend|suggest|advise|translate|calculate|convert"
    r"|show|give"
    r"|find|look|check|search|list|read|say|walk|help|teach|remind (?:me|us) (?:what|how|who|when|where"
    r"|why))\b"
    r"|(?:can|could|may) (?:i|we) (?:please |just |also )?(?:know|ask|hear|get|see|have) (?:about|what|how"
    r"|if|the|a|some|more|your|you)\b"
)
# An action, asked for politely, is not a question that a text answers.
_COMMAND: Final = re.compile(
    r"(?:can|could|will|would) you (?:please |just |kindly )?(?:turn|switch|play|stop|start|set|open|close"
    r"|shut|call|send|email|text|message"
    r"|remind|add|remove|delete|cancel|order|book|buy|make|create|put|change|lower|raise|increase|decrease"
    r"|mute|pause"
    r"|resume|skip|dim|pass|move|bring|post|tweet|reply|schedule|save|clear|speak|repeat|shuffle|run|clean"
    r"|wake)\b"
    r"|(?:can|could|may) i (?:please )?(?:have|hear|get|order|listen)\b"
    r"|(?:please )?(?:turn|switch|play|stop|start|set|open|close|shut|call|send|email|text|remind|add"
    r"|remove|delete"
    r"|cancel|order|book|buy|create|mute|pause|resume|skip|dim|tweet|reply|schedule|save)\b"
)
_TAG: Final = re.compile(
    rf"(?:.* )?{_NEGATED} (?!you know$){_TAG_PRONOUN}(?: (?:either|though|now|then|still|too|sort of|i"
    rf" mean|you know|i guess))*$"
    # "you didn't go did you": the positive auxiliary only after a negation
    rf"|.*(?:n't|\bnot|\bnever|\bno|\bnobody|\bnothing|\bhardly) (?:.* )?(?:(?:is|are|was|were|does|did"
    rf"|have|has|can|could|will|would) (?:i|you|he|she|it|we|they|there)|do (?:i|you|we|they))$"
    r"|.+ (?:or not|or what|is that (?:right|correct|true)|is it not|or no|am i right|don't you think|do"
    r" you think|(?<!to )do you know|you know what i mean"
    r"|isn't that (?:right|true|so)|(?<!what )(?<!see )(?<!know )you mean)$|(?!.* (?:or|and|but) ).{3,60}"
    r" huh$"
)
_PLAIN_TAG: Final = re.compile(r" (?:isn't|wasn't|doesn't|didn't|don't|aren't) (?:it|they|there|he|she)$")
_NOT_TAG: Final = re.compile(
    rf".*\b(?:what|how|why|where|who|when|if|whether|as|than|so|like|which|because|it|he|she|they|we|you)"
    rf" {_AUX} {_TAG_PRONOUN}$"
    rf"|.*\b(?:what|how|why|where|who|when|if|whether|as|than|which) (?:[a-z']+ )?(?:is|are|was|were|do"
    rf"|does|did|have|has|can|could|will|would) {_TAG_PRONOUN}$"
    rf"|.*\b(?:whether|if)\b.* or not$|(?:i|no i|no it|no they|no we) {_NEGATED} \w+$"
)
# A question inside: a clause or a name before it, a clause after it.
_MID: Final = re.compile(
    r" (?:what|where|when|why|how|who) (?:do|does|did|can|could|should|would|will) (?:i|you|he|she|it|we"
    r"|they|the|your) "
    r"| what (?:time|kind|kinds|sort|color|colour|size|year|day|type) (?:of [a-z]+ )?(?:do|does|did|is|are"
    r"|was|will|should|can) "
    r"| (?:do|did|are|have|were) you (?!know (?!what|where|who|when|why|how|if|the|any)|are |have |do |and"
    r" )(?!$)"
    r"| (?:what|how) about "
)
# Indirect speech and clauses that keep the inverted order.
_NOT_MID: Final = re.compile(
    r"\b(?:say|said|says|saying|think|thinking|know|known|like|of|as|than|which|asked|or|what|where|how"
    r"|why|variety|region"
    r"|to|we|they|is|was|about)$"
)
_MID_TAG: Final = re.compile(rf" {_NEGATED} (?!you know)({_TAG_PRONOUN})\b(?= [a-z])")
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
    rf"(?:(?:okay|ok|so|and) )*(?:hey|hi|hello|dear) (?:there (?!is|are|was|were)|{_NO_NAME}[^\W\d_]+ )(?=\w)"
)
_CALLED_WITH_A_COMMA: Final = re.compile(
    rf"\s*(?:(?:hey|hi|hello|dear|okay|ok) )?{_NO_NAME}[^\W\d_]+(?: [^\W\d_]+)?,\s+(?=\w)"
)
_VOCATIVE: Final = re.compile(
    rf"{_NO_NAME}[a-z]+ "
    r"(?=(?:what|where|when|why|how|who) (?:(?:is|are|was|were) (?:the|a|your|my|our|this|that|it|you|he"
    r"|she|they|we|there|one)|(?:do|does|did|can|could|should|would|will) [a-z]+) [a-z]"
    r"|(?:is|are) (?:there|it|they|you|this) [a-z]|(?:do|does|did|have|has|can|could|would|will) (?:you|he"
    r"|she|they) [a-z])"
)
_DECLARATIVE: Final = re.compile(
    r"you mean\b|(?:i don't know|i do not know|i'm not sure|don't know) if you(?:'ve| have|'re familiar|"
    r" ever)\b"
    r"|(?:any (?:idea|ideas|thoughts|questions|chance|news|luck|other)|anything else|any(?:body|one)"
    r" (?:else|know|have|want|got|need))\b|you (?:ready|ever)\b|ever "
)
_BACKCHANNEL: Final = re.compile(
    r"(?!what (?:is|are|do|did|does|was)\b|are you sure)(?:(?:really|right|oh|yeah|huh|okay|ok|sure|yes|no"
    r"|wow|hm|mhm"
    r"|uh huh|you know|i see|pardon|what"
    r"|sorry|is that right"
    r"|is that so|is it|are you|do you|did you|does it|did they|do they|is he|was it|have you|they do|it"
    r" is|he is|you did|you do"
    r"|isn't it|see|you see|know what i mean|you know what i mean|get it)(?: |$)){1,6}$"
)
_EXCLAMATION: Final = re.compile(
    r"(?:what an?|how (?:nice|funny|cute|awful|terrible|sad|interesting|neat|wonderful|lovely|sweet))\b"
)
_SHORT_ANSWER: Final = re.compile(rf"(?:so|neither|nor|as|than) {_AUX} (?:i|you|he|she|it|we|they)$")
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
_FINISHED: Final = re.compile(
    r"(?:what|where|when|why|how|who|whose|which)(?: [a-z]+){0,3} (?:is|are|was|were|am) (?:it|that|this"
    r"|there|you|he|she|they|we|i"
    r"|these|those)$"
    r"|(?:can|could|will|would) (?:you|somebody|anybody) (?:please )?help (?:me|us)$"
    r"|(?:are you|is it|is that it|do you|did you)$"
)


def normalise(sentence: str) -> str:
    """Lower-case words with single spaces: no fillers, no stutters, contractions of question words opened."""
    words = [
        _CONTRACTIONS.get(word, word)
        for word in _WORD.findall(sentence.lower().replace("’", "'"))
        if word not in _FILLERS
    ]
    return _STUTTER.sub(r"\1", " ".join(words))


def decide(sentence: str) -> Finding:
    """Judge one sentence by its words alone."""
    whole = normalise(sentence)
    lead = _LEAD.match(whole)
    text = whole[lead.end() :] if lead is not None and lead.end() < len(whole) else whole
    if _SHORT_ANSWER.match(whole):
        return _STATEMENT
    finding = _judge(text)
    if not finding.asks and (called := _CALLED.match(whole) or _CALLED_WITH_A_COMMA.match(sentence.lower())):
        rest = normalise(called.string[called.end() :])
        asked = _judge(rest)
        if asked.reason in IN_FRONT:
            finding, text = asked, rest
    if _is_open(whole, text, finding):
        return Finding(finding.reason, finding.confidence * 0.6, is_complete=False)
    return finding


def _is_open(whole: str, text: str, finding: Finding) -> bool:
    last = text.rpartition(" ")[2]
    if last in _OPEN_END:
        return True
    if last not in _HANGING or finding.reason in {"tag", "backchannel"} or _FINISHED.match(text):
        return False
    if not finding.asks and _MOVED.search(text):
        return False
    if finding.reason == "request" and last in _PREPOSITIONS:
        return not _MOVED.search(text)
    return _UNFINISHED.match(whole) is not None or not (finding.asks or " " not in text or last in _CLOSING)


def _judge(text: str) -> Finding:
    if _BACKCHANNEL.match(text):
        return Finding("backchannel", 0.9)
    if _REQUEST.match(text):
        return Finding("request", 0.85)
    if _COMMAND.match(text):
        return Finding("command", 0.9)
    if _EXCLAMATION.match(text):
        return Finding("exclamation", 0.7)
    if _WH_CLAUSE.match(text):
        return Finding("relative", 0.8)
    if _WH_FRONT.match(text):
        return Finding("wh_front", 0.97 if _PLAIN.match(text) else 0.9)
    if _NOT_INVERSION.match(text):
        return _STATEMENT
    if _INVERSION.match(text):
        return Finding("inversion", 0.97 if _PLAIN.match(text) else 0.9)
    if _VOCATIVE.match(text):
        return Finding("inversion", 0.8)
    if _TAG.match(text) and not _NOT_TAG.match(text):
        return Finding("tag", 0.96 if _PLAIN_TAG.search(text) else 0.8)
    if _DECLARATIVE.match(text):
        return Finding("declarative", 0.7)
    for found in _MID.finditer(text):
        if not _NOT_MID.search(text, 0, found.start()):
            return Finding("inversion", 0.7)
    for found in _MID_TAG.finditer(text):
        if not text.endswith(found[1], 0, found.start()) and not _NOT_MID.search(text, 0, found.start()):
            return Finding("tag", 0.6)
    return _STATEMENT
