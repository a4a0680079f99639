import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.errors import AdsFileError
from generator.platforms.tables import decoded, guarded, read_table, unguarded, written_table

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FORMULAS = st.tuples(st.text("'=+-@\t\r(|! A1", max_size=8), TEXTS).map("".join)


def table_of(text):
    return read_table("a.csv", text, lambda names: "headline" in names, "headline")


@given(TEXTS | FORMULAS)
def test_what_is_guarded_comes_back_as_it_was(text):
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "@SUM(A1)",
        "+1+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        '=HYPERLINK("https://example.org")',
        "\t=1",
        "\r=1",
        "＝1+1",
        "+HYPERLINK(A1)",
    ],
)
def test_what_a_spreadsheet_would_run_is_guarded(text):
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-50 % today", "+20 Farben", "5 = 4", "- now", "'tis", "a@b.org"])
def test_slogans_stay_as_they_are(text):
    assert guarded(text) == text


@given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=5), st.sampled_from(",;\t"))
def test_a_written_table_reads_the_same(texts, delimiter):
    rows = [{"headline": text, "second": text[::-1]} for text in texts]
    for encoding in ("utf-8-sig", "utf-8", "utf-16"):
        data = written_table(["headline", "second"], rows, delimiter=delimiter, encoding=encoding)
        # The mark tells; without one, UTF-16 is told by its zeros.
        found = table_of(decoded("a.csv", data))
        assert [row for _, row in found.rows] == rows


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("headline\n跑鞋\n".encode("utf-16"), None),
        ("headline\n跑鞋\n".encode("utf-16-le"), None),
        ("headline\n跑鞋\n".encode("utf-16-be"), None),
        ("\ufeffheadline\n跑鞋\n".encode(), None),
        ("headline\n跑鞋\n".encode(), None),
        ("headline\n跑鞋\n".encode("gbk"), "gbk"),
    ],
)
def test_encodings_that_platforms_export_are_read(data, encoding):
    [(number, row)] = table_of(decoded("a.csv", data, encoding)).rows
    assert (number, row) == (2, {"headline": "跑鞋"})


def test_another_encoding_is_told_with_the_way_out():
    with pytest.raises(AdsFileError, match="save the file as UTF-8, or name what it is"):
        decoded("a.csv", "headline\n跑鞋\n".encode("gbk"))


def test_a_workbook_is_told_as_one():
    with pytest.raises(AdsFileError, match="save the sheet as CSV"):
        decoded("a.xlsx", b"PK\x03\x04rest")


@pytest.mark.parametrize(
    "text",
    [
        "headline,clicks\r\nHi,1\r\n",
        "headline,clicks\rHi,1\r",
        "sep=,\nheadline,clicks\nHi,1\n",
        "headline,clicks,,\nHi,1,,\n",
        '"headline","clicks"\n"Hi","1"\n',
        "\ufeffheadline\tclicks\nHi\t1",
        " Headline , Clicks \nHi,1\n",
    ],
)
def test_tables_as_programs_write_them(text):
    [(_, row)] = table_of(decoded("a.csv", text.encode())).rows
    assert [row[name] for name in row][:2] == ["Hi", "1"]


def test_lines_above_the_header_and_empty_rows_are_passed_over():
    found = table_of("Ad report\nAll time\n\nHeadline;Clicks\nHi;2\n;\nHo;3\n")
    assert found.columns == ("Headline", "Clicks")
    assert [number for number, _ in found.rows] == [5, 7]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "no header was found; expected a row with headline"),
        ("headline,headline\nx,y\n", "'headline' is there twice"),
        ("headline,b\nx,y,z\n", "row 2 has more cells than the header has columns"),
    ],
)
def test_what_is_no_table_is_told(text, why):
    with pytest.raises(AdsFileError, match=why):
        table_of(text)
