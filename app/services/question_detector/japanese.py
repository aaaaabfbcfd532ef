"""Japanese: か and its kin close the sentence; question words stay in their place."""

from __future__ import annotations

import re
from typing import Final

from app.services.question_detector.rules import Finding

_TRIM: Final = "。．.、，,！!？?…～〜 　「」『』\"'ー・;；:：)）("
_SPACE: Final = re.compile(r"\s+")

_INFORM: Final = (
    r"(?:教え|おしえ|説明し|調べ|紹介し|まとめ|要約し|比較し|翻訳し|訳し|検索し|解説し|案内し|答え|聞かせ"
    r"|きかせ|話し|確認し|探し|さがし"
    r"|薦め|勧め|すすめ|おすすめし|推薦し|提案し|計算し|挙げ|あげ|リストアップし|見つけ|知らせ|語っ|言っ"
    r"|予測し|分析し|読み上げ|見せ)て"
)
_ASK_END: Final = (
    r"(?:(?:おいて|みて)?(?:ください|下さい|くださいませんか|くださいますか|くれ|くれる|くれない"
    r"|くれません|くれますか|くれませんか|ちょうだい|頂戴|もらえ\w*"
    r"|もらい\w*たい\w*|頂け\w*|いただけ\w*|いただき\w*たい\w*|頂き\w*たい\w*|ほしい\w*|欲しい\w*"
    r"|もらって?いい\w*|よ|ね|な)?)$"
)
_REQUEST: Final = re.compile(
    rf"{_INFORM}{_ASK_END}|(?:知り|聞き|伺い|うかがい|お聞きし|お伺いし|お尋ねし|教わり|確認し)たい(?:です"
    rf"|の|のです|んです|んだ|と思|こと|けど|が|$)"
    r"|(?:おすすめ|オススメ|お勧め|お薦め)(?:は|を|の\w{1,8}は)?$|(?:教えて|説明して)(?:ください|下さい"
    r"|くれ(?!た|て|まし)|もらえ|いただけ|ほしい)"
)
_COMMAND: Final = re.compile(
    r"(?:て|で)(?:(?:くれ|もらえ|いただけ|頂け|ください|下さい)(?:る|ます|ません|ない|ないでしょう)?(?:か"
    r"|かな|でしょうか|の)?|ちょうだい|頂戴)$"
)
_WH: Final = re.compile(
    r"(?:何(?!か|も|でも|とか|となく|より|やら|だか|しろ|回も|度も|人も|年も|時間も|らか|卒|ら)|なに(?!か"
    r"|も|より|しろ|やら|げ|わ)|なんで(?!も)|なんの|なんです"
    r"|なん(?:だっけ|だろ)"
    r"|誰(?!か|も|でも|にでも|にも)|だれ(?!か|も|でも)|どこ(?!か|も|でも|にも|にでも|までも|とな)"
    r"|いつ(?!か|も|でも|の間|しか|まで(?!に|です|$)|もの)"
    r"|なぜ(?!か|なら)|何故(?!か)|どうして(?!も)|なんで(?!も)"
    r"|どう(?!も|か|せ|ぞ|にか|やら|いたし|しても|でも|こう|り|ぶ|よう|し(?!た|ま|よう|ろ|よ)|やっても)"
    r"|どの(?!みち|くらいか)|どれ(?!も|でも|か)|どちら(?!も|でも"
    r"|か|かとい)|どっち(?!も|でも|か)|どんな(?!に|ことがあっても)"
    r"|いくら(?!か|でも|なんでも)|いくつ(?!か|も)|いかが)"
)
_STATEMENT_END: Final = re.compile(
    r"(?:ます|です|でした|ました|ません|ませんでした|から|けど|けれど|けども|が|ので|のに|し|と思う"
    r"|と思います|と思って|思った|知らない|知りません|わからない|分からない|わかりません"
    r"|分かりません"
    r"|わかる|分かった|わかった|忘れた|ね|よ|さ|わ|ぞ|ぜ|よね|んだ|のだ|なあ|らしい|みたい|そうだ|って"
    r"|言ってた|言った|ましょう|ても|でも|ば|たら|て|ください|下さい|決めた)$"
)
_KA: Final = re.compile(
    # か after a verb, an adjective, a copula; not とか, しか, いつか, どうか, ばか
    r"(?:です|ます|でした|ました|ません|ましょう|でしょう|だろう|だっただろう|の|ない|なかった"
    r"|[うくぐすつぬふむゆるた]|たい|しい|ん|良い|いい|よい|[^どなに]い)か(?:な|ね|い"
    r"|しら|ねえ|なあ|よ)?$(?<!とか)(?<!どうか)(?<!しか)(?<!るかね$)"
    r"|[一-龥ァ-ヺー](?:か|かな|かい|かね|なの|かしら)$(?<!確か)(?<!僅か)(?<!静か)(?<!豊か)(?<!何か)"
    r"(?<!誰か)(?<!馬鹿)"
    r"|っけ$|かしら$|だい$(?<!ください)(?<!だいだい)"
    # か inside, the rest added behind: "何時ですか明日は"
    r"|(?:です|ます|でした|ました|ません|でしょう)か(?!ら|も|な?(?:と|って|ね))"
)
_NO: Final = re.compile(
    r"(?:る|た|い|な|てる|でる|ない|なかった|ん|う|く|む|す)の(?:かな|かしら)?$(?<!なもの)(?<!いうの)"
    r"(?<!うちの)(?<!だもの)(?<!ことなの)"
)
_TOPIC: Final = re.compile(
    r"^.{1,24}(?:とは|は)$(?<!では)(?<!には)(?<!とりは)(?<!こんにちは)(?<!こんばんは)(?<!または)"
    r"(?<!あるいは)(?<!実は)(?<!私は)(?<!僕は)(?<!俺は)(?<!のは)(?<!ことは)(?<!はは)"
)
_TAG: Final = re.compile(
    r"(?:じゃない|じゃないの|じゃん|ではない)(?:です)?か$|でしょ$|(?:違う|ちがう|合ってる|あってる)$"
)
_BACKCHANNEL: Final = re.compile(
    r"(?:あ{1,3}|へえ|え{1,3}|はい|うん|ええ|なるほど|まあ|そっか|そうか|そうですか|そうなんですか"
    r"|そうでしたか"
    r"|そうなの|そうなんだ|本当|本当ですか|ほんと|ほんとですか|ほんとに|マジ|まじ"
    r"|マジで|まじで|マジですか|ですよね|ね|ねえ|なるほどそうですか|わかりました){1,6}$"
)
_EMBEDDED: Final = re.compile(
    r"か(?:どうか)?(?:は|も|を|が)?(?:まだ|よく|全然|ちょっと|全く|私も|誰も)?(?:わか|分か|知ら|知って"
    r"|覚え|忘れ|気に|聞い|聞か|考え|決め|問題|心配|楽しみ"
    r"|教えて(?:もら|くれ)(?:った|た|まし))"
)
_OPEN_END: Final = re.compile(
    r"(?:って(?:いう|いうの)?|という|というのは|けど|けれど|ので|から|が|を|に|で|と|へ|も|や|より|とか"
    r"|それで|あと|えっと|ええと|あの|その|この|もし|例えば|たとえば"
    r"|について|に関して|に対して|のほうが|何を|どうやって)$"
)


def decide(sentence: str) -> Finding:
    """Judge one sentence by its words alone."""
    text = _SPACE.sub("", sentence).strip(_TRIM)
    finding = _judge(text)
    # の and と may close a question, and a question word without a verb is enough among friends.
    if finding.reason != "particle" and finding.reason != "request" and _OPEN_END.search(text):
        return Finding(finding.reason, finding.confidence * 0.7, is_complete=False)
    return finding


def _judge(text: str) -> Finding:
    tail = text[-80:]
    if _BACKCHANNEL.match(tail):
        return Finding("backchannel", 0.8)
    if _REQUEST.search(tail):
        return Finding("request", 0.9)
    if _COMMAND.search(tail):
        return Finding("command", 0.85)
    if _KA.search(tail):
        return Finding("particle", 0.92)
    if _TAG.search(tail):
        return Finding("tag", 0.65)
    if _EMBEDDED.search(tail):
        return Finding("embedded", 0.8)
    if _WH.search(tail):
        if _STATEMENT_END.search(tail):
            return Finding("embedded", 0.7)
        return Finding("particle" if _NO.search(tail) or tail.endswith("なの") else "wh_word", 0.8)
    if _NO.search(tail):
        return Finding("particle", 0.65)
    if _TOPIC.match(tail):
        return Finding("declarative", 0.6)
    return Finding("statement", 0.85)
