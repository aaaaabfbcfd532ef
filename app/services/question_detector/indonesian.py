"""Indonesian: apakah and words in -kah in front, question words in front or at the end, tidak at the end."""

from __future__ import annotations

from typing import Final

from app.services.question_detector.rules import word_set
from app.services.question_detector.table import Rule, Table

_WH: Final = (
    r"(?:apa|apaan|siapa|mana|di ?mana|ke ?mana|dari ?mana|kapan|kenapa|mengapa|bagaimana|gimana|berapa|yang"
    r" mana|jam berapa|berapa lama|berapa banyak)"
)
_NOT: Final = r"(?:nggak|enggak|gak|ga|tidak|belum|bukan)"
_TELL: Final = (
    r"(?:jelaskan|jelasin|ceritakan|ceritain|beritahu|beri ?tahu|kasih ?tahu|tunjukkan|tunjukin|carikan"
    r"|cariin|rekomendasikan|sebutkan|bandingkan"
    r"|terjemahkan|hitung|ringkas|sarankan|uraikan)"
)
TABLE: Final = Table(
    lead=(
        r"ya|iya|tidak|nggak|oke|ok|baik|baiklah|halo|hai|hei|permisi|maaf|mohon maaf|terima kasih|makasih"
        r"|tolong tanya|numpang tanya|oh|eh|ah|nah|terus|lalu|jadi"
        r"|tapi|dan|kalau begitu|ngomong ngomong|pak|bu|mas|mbak|kak|bang|selamat (?:pagi|siang|sore|malam)"
        r"|begini|omong omong",
    ),
    rules=(
        Rule(
            "backchannel",
            "backchannel",
            0.8,
            "opening",
            (
                r"(?:(?:oh ya|masa|masa sih|serius|beneran|oh|ya|iya|oke|begitu|gitu|gitu ya|yang benar"
                r"|benarkah|masak|wah|hmm)(?: |$)){1,5}(?<! )$",
            ),
        ),
        Rule(
            "ask me to tell",
            "request",
            0.88,
            "front",
            (
                rf"(?:tolong |coba |mohon |silakan )?{_TELL}(?: \S++){{1,8}}",
                rf"(?:(?:kamu|anda|kalian) )?(?:bisa|bisakah|boleh|dapatkah|dapat)(?: \S+)? (?:tolong )?{_TELL}\S*",
                r"(?:saya|aku|kami|gue) (?:ingin|mau|pengen|hendak) (?:tahu|tau|bertanya|tanya|nanya"
                r"|menanyakan|mengetahui)",
                r"(?:mau (?:tanya|nanya)|saya penasaran|penasaran|ada pertanyaan)(?: \S++){1,8}",
                r"(?:beri|kasih|berikan) (?:saya |aku |kami )?(?:informasi|info|contoh|daftar|penjelasan|saran)",
            ),
        ),
        Rule(
            "command",
            "command",
            0.85,
            "front",
            (
                r"(?:(?:kamu )?(?:bisa|bisakah) )?(?:tolong )?(?:nyalakan|matikan|buka|bukakan|tutup|putar"
                r"|hentikan|telepon|hubungi|setel|nyalain|matiin) \S+",
            ),
            (rf"{_WH}",),
        ),
        Rule(
            "not asked",
            "statement",
            0.8,
            "anywhere",
            (
                r"(?:apa|siapa|mana|di ?mana|kapan|berapa|bagaimana|ke ?mana) ?pun",
                r"(?:tidak|nggak|enggak|gak|ga) (?:ada )?apa apa",
                r"entah \S+",
                r"(?:tidak|nggak|enggak|gak|ga|belum|saya|aku|sudah|dia|lupa|tergantung) (?:tahu|tau|ingat"
                r"|mengerti|lupa|paham|yakin|pada)?(?: pasti)? ?(?:apa|apakah|siapa|di ?mana|kapan|kenapa"
                r"|mengapa|bagaimana|berapa|ke ?mana)",
                r"(?:tempat|kota|rumah|desa|saat|hari|situasi) di ?mana",
                r"(?:kapan kapan|mana mungkin|apa boleh buat|apa adanya|siapa tahu|siapa sangka)",
                r"siapa \S+ dia \S+",
            ),
            (),
        ),
        Rule("exclamation", "exclamation", 0.75, "front", (r"(?:betapa|alangkah) \S+",)),
        Rule(
            "clause",
            "relative",
            0.7,
            "front",
            (
                r"apa yang (?:saya|dia|mereka|kami|aku) \S+ \S+(?: \S++){0,8}",
                r"apa yang (?:kamu|anda) \S+ itu \S+(?: \S++){0,8}",
            ),
            (r"apa yang (?:saya|kami|aku) (?:harus|perlu|bisa) .*",),
        ),
        Rule(
            "apakah",
            "particle",
            0.95,
            "front",
            (
                r"(?:apakah|adakah|bisakah|bolehkah|haruskah|maukah|sudahkah|dapatkah|benarkah|mungkinkah"
                r"|perlukah|siapakah|berapakah|kapankah|bagaimanakah|apa kah|di ?manakah) ?\S*",
            ),
        ),
        Rule(
            "question word in front",
            "wh_front",
            0.92,
            "front",
            (
                r"(?:untuk |dengan |dari |pada |sampai |sejak |di |ke |buat )?(?:apa|siapa|berapa|kapan|jam"
                r" berapa|hari apa|jam)(?<!\S jam)(?! (?:lagi|adanya)$)",
                r"(?:di|ke|dari|yang) ?mana",
                r"(?:di|ke|dari|pada|untuk|dengan|lewat|sampai) \S+ mana(?! (?:pun|saja)\b)",
                r"(?:kenapa|mengapa|bagaimana|gimana|ngapain)",
            ),
        ),
        Rule(
            "question word in its place",
            "wh_word",
            0.85,
            "end",
            (
                rf"(?<=\S ){_WH}(?: (?:ya|sih|itu|ini|saja|dong|tadi|sekarang|kak|pak|bu))*",
                r"\S+ apa yang \S++(?: \S++){0,7}",
                r"(?:jam berapa|hari apa|berapa \S+|warna apa|apa saja|di ?mana|ke ?mana|naik"
                r" apa)(?: \S++){1,3}",
            ),
            (),
        ),
        Rule(
            "can one",
            "inversion",
            0.75,
            "front",
            (
                r"(?:bisa|boleh|apa|ada|perlu|harus)(?: (?:saya|kami|kita|aku|kamu|anda))? (?:\S++ ){0,8}(?:sini"
                r"|hari ini|besok|kartu|saya|kami|kita|tempat|diskon|parkir|wifi|kamar|tiket|menu|bayar"
                r"|pesan|lewat|online)\S*(?: \S++){0,3}$",
                r"bisa (?:ulangi|bantu|sebutkan|antar|kirim) \S+",
                r"(?:kamu|anda|kalian) (?:bisa|punya|tahu|tau|mau|suka|pernah|sudah|kenal|ingat|menjual"
                r"|menerima|jual|terima|kirim|melayani|buka)(?: \S++){1,6}$",
            ),
            (r"(?:kamu|anda) (?:bisa|mau) (?:saja|coba|lihat)", r"ada (?:banyak|orang|yang) .*", r"harus .*"),
        ),
        Rule(
            "or not",
            "tag",
            0.85,
            "end",
            (
                r"(?<=\S )(?:nggak|enggak|gak|ga)(?: (?:ya|sih|kak|pak|bu))?",
                rf"(?:ada|bisa|boleh|sudah|udah|mau|jadi|perlu|tahu|tau|punya|cukup|buka|masih)(?: \S++){{0,8}}"
                rf" (?:atau )?{_NOT}",
                r"\S+ \S+ (?:kan|bukan|betul tidak|benar tidak|ya kan|benar kan|betul kan|iya kan|atau belum"
                r"|atau tidak)",
            ),
            (r"(?:saya|kami|aku|dia) .*(?:tidak|belum)$",),
        ),
        Rule(
            "and this",
            "declarative",
            0.6,
            "opening",
            (r"(?:kalau|bagaimana kalau|terus kalau|lalu kalau)(?: \S++){1,4}$",),
            (r"kalau .* (?:saya|kami|kita|dia|aku) \S+",),
        ),
    ),
    open_ends=word_set(
        "dan atau tetapi tapi karena jika untuk dengan di ke dari yang pada oleh sebuah para tentang seperti adalah"
    ),
    unfinished=(
        r"(?:apa|berapa|siapa)(?: (?:harga|nama))?",
        r"(?:bisa|bisakah|tolong)(?: (?:kamu|anda|saya))?(?: (?:jelaskan|beritahu))?",
        r"(?:saya|aku) (?:ingin|mau)(?: (?:tahu|tanya))?",
    ),
)
decide = TABLE.decide
