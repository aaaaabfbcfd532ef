"""Turkish: the particle mı behind what is asked, question words in their place, the verb at the end."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import plain, word_set
from app.services.question_detector.table import Rule, Table

_DOTS: Final = str.maketrans("Iİ", "ıi")
_WH: Final = (
    r"(?:ne|nedir|neydi|neyi|neye|neyin|neden|nelerden|neler|niye|niçin|nasıl|nerede|nereye|nereden"
    r"|neresi\S*|nerde|kim|kimdir|kimde|kimi|kime|kimin|kimden|kimler|kiminle"
    r"|hangi|hangisi\S*|kaç|kaça|kaçta|kaçıncı|kaçı)"
)
_MI: Final = r"m[ıiuü](?:y[ıiuü]m|s[ıiuü]n|s[ıiuü]n[ıiuü]z|y[ıiuü]z|yd[ıiuü]\S*|ym[ıiuü]ş\S*|d[ıiuü]r)?"
_TELL: Final = (
    r"(?:söyle|anlat|açıkla|göster|öner|tarif et|özetle|karşılaştır|çevir|hesapla|listele|hatırlat|yardım et|bilgi ver)"
)
TABLE: Final = Table(
    prepare=lambda sentence: plain(sentence.translate(_DOTS)),
    lead=(
        r"evet|hayır|tamam|peki(?! \S+$)|şey|yani|ya|e|ee|ah|oh|hey|merhaba|selam|günaydın|iyi günler|iyi"
        r" akşamlar|pardon|affedersiniz|özür dilerim|lütfen",
        r"teşekkürler|teşekkür ederim|sağ ol|bak|bakın|ama|ve|o zaman|bu arada|bir şey soracağım|acaba|hocam"
        r"|abi|arkadaşlar|siri|asistan",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.8,
            "opening",
            (
                rf"(?:(?:öyle {_MI}|gerçekten {_MI}|gerçekten|sahi|sahiden|cidden {_MI}|cidden|evet|hayır"
                rf"|tamam|ya|hadi ya|yok artık|ha|hmm|yapma)(?: |$)){{1,5}}(?<! )$",
            ),
        ),
        Rule(
            "command",
            "command",
            0.85,
            "end",
            (
                rf"(?<=\S )(?:aç|kapat|çal|başlat|durdur|ara|kıs|yak|söndür)(?:(?:ar|ır|er|ir|ur|ür)? {_MI}"
                rf"|abilir {_MI}|ebilir {_MI}|ın|in|ın[ıi]z)?(?: lütfen)?",
            ),
            (rf"{_WH}", r"en yakın"),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.88,
            "end",
            (
                rf"(?<=\S ){_TELL}(?:yin|in|ın|iniz|ir {_MI}|ır {_MI}|er {_MI}|ebilir {_MI}|abilir {_MI}"
                rf"|sene|sana|r {_MI}|yebilir {_MI})?(?: lütfen)?",
                r"(?<=\S )(?:merak ediyorum|öğrenmek istiyorum|bilmek istiyorum|sormak istiyorum"
                r"|öğrenebilir miyim|bilgi almak istiyorum)",
                r"bir (?:sorum|soru) (?:var|sormak istiyorum|soracağım)",
            ),
        ),
        Rule(
            "not known",
            "embedded",
            0.8,
            "end",
            (
                rf"(?:{_MI}|{_WH}(?: \S++){{0,5}}) (?:bilmiyorum|bilmem|bilemem|emin değilim|hatırlamıyorum"
                rf"|unuttum|biliyorum|anladım|anlamadım|söyledi|sordu|bilmiyoruz|anlattı|belli değil|önemli"
                rf" değil|fark etmez)",
            ),
        ),
        Rule(
            "mı",
            "particle",
            0.93,
            "anywhere",
            (rf"\S+ {_MI}",),
            (
                r"(\S+) m[ıiuü] \1",
                r"\S+ m[ıiuü] diye \S+(?:d[ıiuü]|m)",
                r"\S+ m[ıiuü] (?:\S++ ){1,8}(?:gider|çıkar|olur|kaçar)(?:[ıi]z|d[ıi]k)?$",
            ),
        ),
        Rule(
            "exclamation",
            "exclamation",
            0.75,
            "anywhere",
            (
                r"ne (?:güzel|yazık|hoş|iyi|kötü|mutlu|tatlı|kadar (?:güzel|iyi|kötü|büyük|zor)|olur ne"
                r" olmaz|haber)(?! (?:yapıyor|zaman|olacak))",
                r"kim bilir",
                r"ne de olsa",
            ),
            (r"ne haber$",),
        ),
        Rule(
            "not asked",
            "statement",
            0.8,
            "anywhere",
            (
                r"(?:nasıl olsa|her ne|ne varsa|ne olursa|kim olursa|nerede olursa|hangisi olursa|kaç kere"
                r" \S+|ne yaparsa\S*|nedense|neyse|bir kaç|ne zaman \S+(?:sa|se)m?|ne \S+s[ae][nkm]? (?:de|da))",
                r"ne \S+ ne (?:de )?\S+",
                rf"{_WH} (?:\S++ ){{0,3}}?\S+(?:d[ıiuü]ğ[ıiuü]\S*|t[ıiuü]ğ[ıiuü]\S*|acağ[ıi]\S*"
                rf"|eceğ[ıi]\S*)(?: \S++){{0,3}} \S+",
            ),
        ),
        Rule("question word", "wh_word", 0.88, "anywhere", (_WH,)),
        Rule(
            "tag",
            "tag",
            0.75,
            "end",
            (r"\S+ (?:ha|yok mu|doğru|öyle)",),
            (r"(?:çok|bu|en|işte|aynen|de|sanırım|galiba|bence|herhalde) (?:doğru|öyle)$",),
        ),
        Rule(
            "and this",
            "declarative",
            0.6,
            "end",
            (
                r"(?:peki|ya) (?:\S++ ){0,3}?(?:\S*(?:da|de|ta|te|için|olursa|sonra|ise|yarın|bugün|kışın|yazın))",
                r"ya (?:\S++ ){0,2}\S+(?:sa|se)",
            ),
        ),
    ),
    open_ends=word_set("ve veya ama çünkü eğer için ile bir bu şu o çok en daha benim senin onun hangi kaç"),
    unfinished=(r"(?:bana|bize)(?: (?:söyler|anlatır|açıklar))?", r"(?:en yakın|hangi|kaç|ne kadar)"),
)
decide = TABLE.decide
