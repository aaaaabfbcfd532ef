"""Korean: the verb comes last, and its ending tells."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import Finding, plain

_INFORM: Final = (
    r"(?:알려|말해|말씀해|얘기해|이야기해|가르쳐|설명해|추천해|소개해|찾아|검색해|확인해|요약해|체크해"
    r"|알아봐|알아|조회해|읽어"
    r"|보고해|비교해|정리해|번역해|계산해|예측해|파악해|살펴봐|분석해|불러)"
)
_GIVE: Final = (
    r"(?:줘(?:요|라|봐)?|주세요|주실래요?|주시겠\w*|주겠\w*|줄래요?|주련|주렴|주십시오|줄 ?수 ?(?:있"
    r"|없)\w*|주실 ?수 ?(?:있|없)\w*"
    r"|달라|다오|주라|주면 ?(?:좋겠\w*|돼|안 ?돼\w*)|줄 ?수|보세요|보렴|보자|봐(?:요|라|줘)?|라|주길\w*"
    r"|주시면 ?\w*|줬으면 ?\w*|주시기\w*)"
)
_REQUEST: Final = re.compile(
    rf"{_INFORM} ?{_GIVE}$|(?:확인해|체크해|알아봐|검색해|찾아봐|보고해|조회해|설명해|알아보아라|말해"
    rf"|알려라|보여라|보이렴)$|(?:궁금|알고 ?싶)\w*$"
    r"|(?:뭐|무엇|언제|어디|누구|몇|얼마|어떤|어떻|왜).*(?:지|인지|는지) ?(?:좀 )?(?:봐|보여)\w*$"
    r"|(?:날씨|일정|스케줄|소식|뉴스|정보|목록|상황|시간|기온|온도)\w* ?(?:좀 )?(?:보여|읊어|불러|읽어) ?\w*$"
)
# "would you turn on the lamp": the same endings without a verb of telling.
_COMMAND: Final = re.compile(
    r"(?:줄 ?수 ?있\w*|줄 ?수 ?없\w*|주겠니|주겠어\w*|주시겠\w*|주실래\w*|줄래요?|줘도 ?(?:될까|되니"
    r"|돼)\w*|주련|주렴|줘|주세요)$"
)
# The formal ending: "니까" behind a final "ㅂ" (입, 됩, 습 ...). Without it, "니까" gives a reason.
_FORMAL: Final = re.compile(f"[{''.join(map(chr, range(0xAC00 + 17, 0xD7A4, 28)))}]니까$")
_WH: Final = re.compile(
    r"(?:^| |[가-힣]+(?=뭐|누구|언제|어디|얼마|몇))(?:뭐(?!든|라고 했|랄까)|뭘(?! 하든)|뭔(?!가)"
    r"|무엇(?!이든|보다|이나)|무슨|누구(?!나|든|에게나)"
    r"|누가|누굴|언제(?!나|든|까지나|부턴가)"
    r"|어디(?!든|서나|에나|나)|어딜|왜(?!냐)|어떻(?!게든)|어떤(?!가)|어때|어떠|어찌|몇|몇일|며칠|얼마(?!든"
    r"|나 많은지 모|간)|어느(?!새|덧| ?정도| 날)|웬일)"
)
# Endings that only a question has. Nouns in 니 and the reproach 잖니 are none.
_ENDING: Final = re.compile(
    r"(?<!어머)(?<!할머)(?<!언)(?<!아주머)(?<!잖)(?<!다)(?<!오)(?<!^아)(?<! 아)니(?:까$(?<=습니까|답니까)|$)"
    r"|[가-힣]니까$(?<!하니까)(?<!으니까)(?<!이니까)"
    r"|(?:나요|가요|까요|까|냐|냐고|느냐|는가|은가|인가|던가|려나|을래|는지요|건가|건지|ㄴ가요|런지|는교"
    r"|나여|까여|남)$(?<!따가)(?<!그러니까)(?<!거니까)(?<!니까)"
    r"|(?:었|았|였|했|졌|왔|갔|봤|있|없|겠|됐|하|되|오|가)나$"
    r"|(?:맞지|맞죠|그렇지|그렇죠|아닌가|아냐|아니야|않아|않나|않니|않을까|되지|있지|거지|했지|했죠)$"
)
# Syllables without a final consonant that end a verb in casual speech: 가, 해, 돼, 꿔.
_CASUAL: Final = "".join(
    chr(0xAC00 + (onset * 21 + vowel) * 28) for onset in range(19) for vowel in (0, 1, 4, 6, 9, 10, 14)
)
_WH_ENDING: Final = re.compile(
    rf"[{_CASUAL}]$"
    r"|(?:야|어|아|여|요|지|죠|은|는|데|대|래|고|해|돼|와|가|봐|줘|거|것|게|여|에|서|써|자|임|다며|디|노"
    r"|져|춰|해요|예요|에요|이에요|나|라고|까지|부터)$"
    r"|(?:뭐|누구|언제|어디|왜|얼마|며칠|몇 ?\w+)$"
)
_EMBEDDED: Final = re.compile(
    r"(?:지|는지|은지|인지|을지|까|건지|걸|줄|가)(?:는|도|를|조차)? ?(?:잘 )?(?:모르|몰라|몰랐|알겠|알았"
    r"|안다|알고 있|압니다|알아요$|기억|관심|중요|상관|고민|생각)"
    r"|(?:왜|뭐|무엇|어떻게|어디|언제|누구).*(?:다|네|네요|군|군요|구나|잖아|잖아요|거든|거든요|래요|대요"
    r"|게요|ㄹ게|던데|더라|더라고요|지만|니다|면|려고|니까|해라|하자"
    r"|마|라)$"
)
_TOPIC: Final = re.compile(
    r"(?:확률|날씨|가격|시간|일정|번호|이름|주소|방법|이유|온도|기온|요금|장소|위치|결과|상황|뜻|의미|차이"
    r"|차이점|사람|자|곳|것|거)(?:은|는)$"
)
_TAG: Final = re.compile(r"(?:그치|그쵸|그죠|맞아요?|안 ?그래요?)$")
_BACKCHANNEL: Final = re.compile(
    r"(?:(?:그래요?|정말요?|진짜요?|아 그래요?|그렇구나|그렇군요|네|예|응|아|어|음|그렇습니까|그런가요?"
    r"|그런가|맞아요?)(?: |$)){1,6}$"
)
_OPEN_END: Final = re.compile(
    r"(?:^| )(?:혹시|그리고|그래서|근데|그런데|하지만|그|저|이|좀|만약|왜냐하면|및|또는|\S+(?:에서|에게"
    r"|한테|으로|을|를|의|와|과|하고|랑|보다|처럼|인데|는데|라면"
    r"|려면|려고|해서|지만)|때문에)$"
)


def decide(sentence: str) -> Finding:
    """Judge one sentence by its words alone."""
    text = plain(sentence)
    finding = _judge(text)
    if _OPEN_END.search(text):
        return Finding(finding.reason, finding.confidence * 0.7, is_complete=False)
    return finding


def _judge(text: str) -> Finding:
    tail = text[-60:]
    if _BACKCHANNEL.match(text):
        return Finding("backchannel", 0.8)
    if _REQUEST.search(tail):
        return Finding("request", 0.9)
    if _COMMAND.search(tail):
        return Finding("command", 0.85)
    if _FORMAL.search(tail):
        return Finding("particle", 0.97)
    if _EMBEDDED.search(tail):
        return Finding("embedded", 0.75)
    if _ENDING.search(tail):
        return Finding("particle", 0.9)
    if _WH.search(tail) and _WH_ENDING.search(tail):
        return Finding("wh_word", 0.85)
    if _TAG.search(tail):
        return Finding("tag", 0.6)
    if _TOPIC.search(tail):
        return Finding("declarative", 0.6)
    return Finding("statement", 0.85)
