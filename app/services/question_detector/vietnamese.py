"""Vietnamese: không, chưa and question words at the end or where the answer would stand."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import word_set
from app.services.question_detector.table import Rule, Table

_ME: Final = r"(?:tôi|mình|em|anh|chị|tớ|con|bọn mình|chúng tôi|chúng ta)"
_END: Final = r"(?: (?:ạ|vậy|thế|nhỉ|hả|đấy|không|nhé|em|anh|chị|bạn|ta|đây|à))*"
TABLE: Final = Table(
    lead=(
        r"vâng|dạ|ừ|ờ|à|ồ|ơ|này|ok|được rồi|thế|vậy|thế thì|vậy thì|và|nhưng|nhưng mà|rồi|xin chào|chào"
        r" (?:bạn|anh|chị|em)|xin lỗi|cảm ơn|làm ơn|alo",
        r"(?:bạn|anh|chị|em|thầy|cô) ơi|cho (?:tôi|mình|em) hỏi|tiện thể|nhân tiện|mà|ê|nói chung",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.8,
            "opening",
            (
                r"(?:(?:thế à|vậy à|vậy hả|thật à|thật không|thật hả|thế sao|ừ|vâng|dạ|ồ|à|ờ|thế hả|vậy sao"
                r"|hả|không|rồi)(?: |$)){1,4}(?<! )$",
            ),
        ),
        Rule(
            "command",
            "command",
            0.85,
            "front",
            (
                rf"(?:hãy |bạn |làm ơn |có thể )*(?:giúp {_ME} )?(?:bật|tắt|mở|đóng|phát|gọi cho|dừng|đặt"
                rf" báo thức|tăng|giảm) \S+",
            ),
            (r"(?:mấy|nào|gì|bao giờ|bao nhiêu|khi nào|ở đâu)",),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.88,
            "front",
            (
                rf"(?:xin |hãy |làm ơn |bạn |vui lòng |(?:bạn |anh |chị )?có thể )*(?:cho {_ME} (?:biết|hỏi"
                rf"|xem)|nói cho {_ME}|chỉ cho {_ME}|kể cho {_ME}|giải thích|so sánh|giới thiệu|gợi ý|tư vấn"
                rf"|mô tả|tóm tắt|định nghĩa|liệt kê|dịch)(?: \S++){{1,8}}",
                rf"(?:giúp|giùm) {_ME} (?:tìm|hiểu|kiểm tra|chọn|xem|tra)",
                rf"{_ME} (?:muốn|cần|đang muốn|thắc mắc|tò mò)(?: được)? ?(?:biết|hỏi|tìm hiểu|không"
                rf" biết)?(?: \S++){{0,8}} (?:biết|hỏi|tìm hiểu|thắc mắc|vì sao|tại sao|thế nào)",
                rf"{_ME} có (?:một )?(?:câu hỏi|thắc mắc)",
            ),
            (),
        ),
        Rule(
            "not asked",
            "statement",
            0.8,
            "anywhere",
            (
                r"(?:gì|ai|đâu|nào|bao giờ|sao|mấy) cũng",
                r"(?:không|chẳng|chả|chưa) (?:có )?(?:gì|ai|đâu|sao|nơi nào|bao giờ)(?: \S++){0,8}",
                r"(?:gì|ai|nơi|đâu|nào|lúc nào|hôm nào) (?:đó|đấy|ấy)",
                r"(?:bất cứ|bất kỳ|bất kể|dù|cho dù|dẫu)(?: \S++){0,8}",
                r"(?:không|chưa|chẳng|tôi|mình|đã|nó) (?:biết|nhớ|rõ|hiểu|chắc|quên)(?: \S++){0,8}? (?:gì|ai|nào"
                r"|đâu|bao giờ|bao nhiêu|tại sao|vì sao|thế nào|sao|không|mấy)",
                r"mấy (?:hôm|bữa|ngày|năm|tháng) (?:nay|trước|sau|qua)",
                r"(?:khi|lúc|hễ) nào (?:\S++ ){1,8}thì(?: \S++){0,8}",
                r"đâu có(?: \S++){0,8}",
                r"ai (?:\S++ ){1,8}thì(?: \S++){0,8}",
                r"ai (?:\S++ ){1,4}cũng(?: \S++){0,8}",
                r"(?:anh ấy|cô ấy|ông ấy|bà ấy|nó|họ) hỏi(?: \S++){1,8}",
                r"hèn gì|hóa ra|thảo nào",
            ),
            (),
        ),
        Rule(
            "exclamation",
            "exclamation",
            0.75,
            "anywhere",
            (r"(?:biết bao|xiết bao|làm sao mà \S+ thế|quá đi|đẹp làm sao|biết mấy)",),
        ),
        Rule(
            "không",
            "particle",
            0.93,
            "end",
            (
                rf"(?:có|được|phải|đúng|cần|nên|muốn|thể|ổn|tốt|đủ|xa|gần|đắt|khó|còn|thích|là|đau"
                rf"|ngon|kịp|sao|hay)(?: \S++){{0,8}} không{_END}",
                rf"(?:được|phải|đúng|thế) (?:không|chứ|chưa){_END}",
                rf"(?<=\S )(?:rồi|đã|xong|đến|xem|ăn|về|tới|gặp|làm|đi|\S+) chưa{_END}",
                rf"(?<=\S )(?:à|hả|nhỉ|ư|chăng|sao){_END}",
            ),
            (r"(?:thì|là|nói|chứ|bảo|rằng|trả lời|cũng) (?:không|chưa)$",),
        ),
        Rule("có phải", "particle", 0.85, "front", (r"(?:có phải|phải chăng|liệu|chẳng lẽ|lẽ nào)(?: \S++){1,8}",)),
        Rule(
            "question word in front",
            "wh_front",
            0.92,
            "front",
            (
                r"(?:tại sao|vì sao|sao|làm sao|làm thế nào|bằng cách nào|cớ sao)",
                r"(?:khi nào|bao giờ|lúc nào|mấy giờ|chừng nào|hôm nào)",
                r"(?:ai|cái gì|cái nào|người nào|điều gì|chuyện gì|nơi nào|ở đâu|đâu là)",
                r"(?:bao nhiêu|bao lâu|bao xa|mấy)",
            ),
        ),
        Rule(
            "question word in its place",
            "wh_word",
            0.88,
            "end",
            (
                rf"(?<=\S )(?:gì|nào|ai|đâu|bao giờ|bao nhiêu|bao lâu|bao xa|mấy|thế nào|như thế nào|ra sao"
                rf"|khi nào|mấy giờ|tại sao|vì sao){_END}",
                r"(?<=\S )(?:bao nhiêu|mấy|bao lâu|ở đâu|ai|gì|nào|khi nào|bao giờ|thế nào)(?: \S++){1,3}",
                r"(?:tại sao|vì sao|như thế nào|ở đâu|mấy giờ|khi nào|loại nào|bao nhiêu) \S++(?: \S++){0,7}",
            ),
        ),
        Rule(
            "or",
            "alternative",
            0.75,
            "anywhere",
            (r"\S+ hay là \S+(?: \S++){0,8}",),
            (),
        ),
        Rule(
            "and this",
            "declarative",
            0.6,
            "end",
            (r"(?:thế|vậy) còn(?: \S++){1,4}",),
        ),
    ),
    open_ends=word_set("và hoặc nhưng vì nếu của cho với ở trong về để những các một rất từ tại"),
    unfinished=(
        rf"(?:bạn |anh |chị )?(?:có thể|cho {_ME} (?:hỏi|biết)|giải thích)",
        rf"{_ME} (?:muốn|cần)(?: (?:biết|hỏi))?",
    ),
)
decide = TABLE.decide
