"""Texts of documents: plausible or not, decoded, split, titled, tidied."""

from pathlib import PurePath

import pytest

from orchestrator import Refused
from orchestrator.integrations.documents import (
    check_readable,
    cut_at_word,
    decode,
    decode_as,
    decode_markup,
    detect_language,
    implausibility,
    keywords_of,
    sentences_of,
    tidy,
    title_of,
)
from orchestrator.integrations.documents.markup import markup_text
from orchestrator.integrations.documents.rtf import RtfText

ENGLISH = (
    "The tide gauge at the quay recorded the level of the sea every six minutes throughout the year. Of the readings"
    " that were expected, nearly all were received, which is the best return since the recorder was replaced."
)
GERMAN = "Die Pegelstation am Kai maß während des ganzen Jahres alle sechs Minuten die Höhe des Wassers über dem Grund."
CZECH = "Žluťoučký kůň úpěl ďábelské ódy. Stříbrná křídla se leskla ve světle měsíce, který vyšel nad čtvrtí."
RUSSIAN = "В гимназии он не был в числе первых учеников, и только математика была его любимым предметом."
CHINESE = (
    "我们在这个城市里生活了很多年，每天早上都能看到人们在公园里锻炼身体，然后去上班。这里的人很友好，生活也很方便。" * 2
)
TURKISH = "İstanbul, Türkiye'nin en kalabalık şehridir ve tarih boyunca birçok devlete başkentlik yapmıştır."
GREEK = "Η ελληνική γλώσσα είναι μία από τις αρχαιότερες γλώσσες και μιλιέται στην Ελλάδα και στην Κύπρο."
POLISH = "Książka ta została wydana przed wojną i do dziś nie straciła na znaczeniu, choć wiele się zmieniło."


def shifted(text: str) -> str:
    """Every letter replaced by another, as by a wrong character map."""
    return "".join(chr((ord(c) - 97 + 3) % 26 + 97) if "a" <= c <= "z" else c for c in text.lower())


@pytest.mark.parametrize(
    "text",
    [
        ENGLISH,
        GERMAN,
        CZECH,
        RUSSIAN,
        CHINESE,
        TURKISH,
        GREEK,
        POLISH,
        "def f(x):\n    return x['a'] + [y for y in range(10)][0]  # a comment on what the function does\n" * 5,
        "Part 7731-A | 12.50 | 4\nPart 7732-B | 13.75 | 2\n" * 20,
        "Smith, J. H.; Kowalczyk, W.; Szczepański, P.; Nguyễn, T. V.; O'Brien, K. " * 4,
        "42",
        "E = m c ^2 , where c is the speed of light and m is the mass of the body at rest",
        "ISO IEC IEEE NIST RFC HTTP TCP XML JSON SQL HTML CSS PDF GPU CPU RAM SSD USB LAN WAN VPN DNS",
    ],
)
def test_what_people_write_is_plausible(text: str) -> None:
    assert implausibility(text) is None
    check_readable(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (shifted(ENGLISH), "no language"),
        (" ".join(ENGLISH), "spaced apart"),
        (ENGLISH.replace(" ", ""), "spaces between its words are lost"),
        ("\ufffd".join(ENGLISH), "could not be decoded"),
        ("".join(chr(0xE000 + ord(c)) for c in ENGLISH) + " 7", "private-use"),
        ("".join(f"(cid:{ord(c)})" for c in ENGLISH), "glyph numbers"),
        ("".join(f"/G{ord(c)}" for c in ENGLISH), "glyph numbers"),
        ("\x01\x02\x03\x04" * 20 + "words", "control"),
        (RUSSIAN.encode().decode("cp1252", "ignore"), "wrong encoding"),
        (GERMAN.encode().decode("latin-1") + " Ã¼ber Ã¤hnliche", "wrong encoding"),
        ("ɎɅȺɇɐɕɂɉȿɊȿɏɈȾɕ", "letters that no language"),
        ("3HQČåQtSURVWĜHGN\\QD~þWHFK", "symbols within"),
        (" ".join("ТhіsTеxtМіхеsАlрhаbеts"[i : i + 6] for i in range(14)), "mix alphabets"),
        (
            "鎴戜滑鍦ㄨ繖涓煄甯傞噷鐢熸椿浜嗗緢澶氬勾姣忓ぉ鏃╀笂閮借兘鐪嬪埌浜轰滑鍦ㄥ叕鍥噷閿荤偧韬綋鐒跺悗鍘讳笂鐝"
            * 2,
            "improbable combination",
        ),
    ],
)
def test_garbage_is_found_out(text: str, reason: str) -> None:
    assert reason in str(implausibility(text))
    with pytest.raises(Refused, match="its words are garbled"):
        check_readable(text)


def test_a_text_without_words() -> None:
    with pytest.raises(Refused, match="there are no words in it"):
        check_readable(" \n . - ")


FINNISH = (
    "Laakson puutarhurit tapasivat maaliskuussa päättääkseen vedestä. He sopivat, että vanha kanava korjataan ennen"
    " kesää, koska uusi menettää kolmanneksen. Työ alkaa huhtikuussa ja sen maksaa piiri."
)
LATVIAN = (
    "Ielejas dārznieki martā satikās, lai lemtu par ūdeni. Viņi vienojās, ka vecais kanāls tiks salabots pirms vasaras,"
    " jo jaunais zaudē trešdaļu. Darbi sāksies aprīlī, un par tiem maksās rajons."
)
LITHUANIAN = (
    "Slėnio sodų prižiūrėtojai susitiko kovo mėnesį, kad nuspręstų dėl vandens. Jie sutarė, kad senasis kanalas bus"
    " pataisytas iki vasaros, nes naujasis praranda trečdalį."
)
PERSIAN = (
    "نگهبانان باغ هاي دره در ماه مارس گرد هم آمدند تا درباره آب تصميم بگيرند. آنها توافق کردند که کانال قديمي پيش از"
    " تابستان تعمير شود، چون کانال جديد يک سوم آب را از دست مي دهد."
)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (ENGLISH, "ascii"),
        (GERMAN, "cp1252"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "utf-32"),
        (CZECH, "cp1250"),
        (CZECH, "iso8859-2"),
        (POLISH, "iso8859-2"),
        (TURKISH, "cp1254"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "utf-16-le"),
        (RUSSIAN, "utf-16-be"),
        (GERMAN, "cp850"),
        (GERMAN, "cp437"),
        (GERMAN, "mac_roman"),
        (GERMAN, "cp500"),
        (GERMAN, "utf-7"),
        (FINNISH, "cp1252"),
        (LATVIAN, "cp1257"),
        (LITHUANIAN, "iso8859-4"),
        (PERSIAN, "cp1256"),
        (CHINESE, "hz"),
        (CHINESE, "utf-16-be"),
        (GREEK, "cp1253"),
        (CHINESE, "gb18030"),
        (CHINESE, "utf-8-sig"),
        ("Café à 9°", "latin-1"),
        ("역사적 예수 연구자들은 복음서나 사도들의 서신서 속의 교리적 예수가 아닌 역사적 인간을 추구한다.", "cp949"),
        ("日本語の文章は漢字とひらがなとカタカナで書かれます。昨日は雨が降りました。", "iso2022_jp"),
        ("日本語の文章は漢字とひらがなとカタカナで書かれます。昨日は雨が降りました。", "cp932"),
    ],
)
def test_texts_are_decoded_whatever_their_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_cut_character_does_not_make_utf8_something_else() -> None:
    text, encoding = decode_as((RUSSIAN * 3).encode()[:-1])
    assert encoding == "utf-8"
    assert text.startswith(RUSSIAN)


def test_markup_is_decoded_as_it_declares() -> None:
    page = f'<meta charset="koi8-r"><p>{RUSSIAN[:10]}'
    assert decode_markup(page.encode("koi8-r")) == page
    assert decode_markup(page.encode()) == page, "what it declares does not fit"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"), (GERMAN, "de"), (CZECH, "cs"), (RUSSIAN, "ru"), (CHINESE, "zh"), (TURKISH, "tr"),
        (GREEK, "el"),
        (POLISH, "pl"), ("xyzzy", None), ("x = f(a); y = g(i, u, o); z = x o y; e = a i u o; k = v in w of t", None),
    ],
)  # fmt: skip
def test_languages(text: str, language: str | None) -> None:
    assert detect_language(text) == language


def test_sentences_are_whole_and_stand_once() -> None:
    text = (
        "A heading\n\nDr. Smith paid $3.50 to Mr. J. R. Jones in the U.S. last week. It was e.g. a good deal for all."
        " He said so.\n\nIt was e.g. a good deal for all.\n\n| a | b | c |\n\nChapter one ............ 12\n\n"
        "1. Whisk the eggs until they are white and stiff.\n\nTrue, isn't it the case? “Yes, it is so indeed.” And then"
    )
    assert sentences_of(text) == [
        "Dr. Smith paid $3.50 to Mr. J. R. Jones in the U.S. last week.",
        "It was e.g. a good deal for all.",
        "Whisk the eggs until they are white and stiff.",
        "True, isn't it the case?",
        "“Yes, it is so indeed.”",
    ]
    assert sentences_of(
        "今天天气很好，我们去公园散步了。他说：“明天可能会下雨，记得带伞。”我同意他的看法并且准备好了。"
    )[0].endswith("散步了。")
    assert len(sentences_of("यह एक लंबा वाक्य है जो हिंदी में लिखा है। दूसरा वाक्य भी यहाँ पर लिखा है।")) == 2
    assert len(cut_at_word("word " * 400)) <= 460


@pytest.mark.parametrize(
    ("metadata", "heading", "text", "title"),
    [
        ("Summer hours | Public Library", "Summer hours", "", "Summer hours"),
        ("Microsoft Word - report_final2.docx", "Results of 2023", "", "Results of 2023"),
        ("untitled", None, "The night sky\n\nThe Perseids reach their maximum.", "The night sky"),
        (None, None, "A first line that is long and goes on in the\nnext line as a paragraph.", "My file"),
        ("Über die Pegel - eine Untersuchung", None, "", "Über die Pegel - eine Untersuchung"),
        ("0042-17", None, "", "My file"),
        ("(anonymous)", "Results of 2023", "", "Results of 2023"),
        ("2010 Form 1040", "1040 Department of the Treasury", "", "2010 Form 1040"),
        ("Microsoft Word - Minutes of May.docx", None, "", "Minutes of May"),
        ("ãƒˆãƒ©ãƒ³ã‚¹ Final", "Results of 2023", "", "Results of 2023"),
    ],
)
def test_titles(metadata: str | None, heading: str | None, text: str, title: str) -> None:
    assert title_of(text, PurePath("my_file.pdf"), metadata, heading) == title


def test_keywords_are_of_the_documents_language() -> None:
    assert keywords_of("Die Brücke und der Fluss. Die Brücke ist alt, der Fluss aber nicht.", "de") == [
        "brücke",
        "fluss",
    ]
    assert "bridge" in keywords_of("The bridges were old. Every bridge is old.", "en")
    assert keywords_of("公园里锻炼身体。公园里有人锻炼身体。", "zh")


def test_layout_is_undone() -> None:
    assert (
        tidy("The \ufb01rst exam-\nple of o\xadne\u00a0thing\r\n\r\n\r\n\r\nmore")
        == "The first example of one thing\n\nmore"
    )
    assert tidy("对 国 防 问 题") == "对国防问题"


def test_markup_keeps_what_is_visible() -> None:
    page = """<html><head><title>T</title><script>x()</script></head><body><h1>One</h1><p>a <b>bold</b> word</p>
    <p style="display: none">hidden</p><table><tr><td>1</td><td>2</td></tr></table><nav>Menu</nav></body></html>"""
    assert markup_text(page.encode(), furniture=False) == "One\n\na bold word\n\n1 | 2"
    assert "Menu" in markup_text(page.encode())


def test_rich_text() -> None:
    found = RtfText(
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial;}}{\info{\title A \'e9 title}}"
        rb"{\*\generator X;}One {\b bold} word\par {\f1 \'cf\'f0\'e8}\u8364 ?{\v hidden}{\*\unknown gone}\par"
        rb"\trowd a\cell b\cell\row {\field{\*\fldinst HYPERLINK x}{\fldrslt link}}{\footer foot}}"
    )
    assert found.title == "A é title"
    assert tidy(found.text) == "One bold word\n\nПри€\n\na | b |\nlink\n\nFooter: foot"
