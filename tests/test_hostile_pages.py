"""A page that nobody vouches for ends soon, in bounded memory, as a page or as one sentence; it takes nothing else down."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_tasks.errors import PageError, UpstreamError
from mirror_tasks.index import client as upstream
from mirror_tasks.index import html_page, html_tags, untrusted_json
from mirror_tasks.index.html_tags import start_tags, unescaped
from mirror_tasks.index.pages import parse_page
from mirror_tasks.index.project import Project
from mirror_tasks.index.untrusted_json import read_untrusted
from tests.fake_index import HTML, JSON, FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder, packages

URL = "https://index.example.com/simple/foo/"
SHA = "0123456789abcdef" * 4
LINK = f'<a href="foo-1.0.tar.gz#sha256={SHA}">x</a>'
DIGITS = "9" * 5000


@contextmanager
def patience() -> Iterator[None]:
    """End what would take hours; what it is for takes half a second. Processor time counts: the machine may be busy."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("it did not end")

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, 20)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def json_page(files: str) -> bytes:
    return f'{{"meta": {{"api-version": "1.1"}}, "name": "foo", "files": [{files}]}}'.encode()


def entry(fields: str, version: str = "1.0") -> str:
    url = f"https://files.example.com/foo-{version}.tar.gz"
    return f'{{"filename": "foo-{version}.tar.gz", "url": "{url}", "hashes": {{"sha256": "{SHA}"}}{fields}}}'


HOSTILE = {
    "a base that is no URL": (f'<base href="http://[">{LINK}'.encode(), HTML),
    "a base on this machine": (f'<base href="file:///etc/">{LINK}'.encode(), HTML),
    "a charset that is none": (LINK.encode(), f"{HTML}; charset=idna"),
    "a charset that runs over": (LINK.encode(), f"{HTML}; charset=punycode"),
    "a charset of escapes": (LINK.encode(), f'{HTML}; charset="unicode_escape"'),
    "a character of many digits": (f'<a href="foo-1.0.tar.gz?&#{DIGITS};">x</a>'.encode(), HTML),
    "a character of many hexadecimal digits": (f'<a href="foo-1.0.tar.gz?&#x{DIGITS};">x</a>'.encode(), HTML),
    "a version of many digits": (f'<meta name="pypi:repository-version" content="{DIGITS}.0">'.encode(), HTML),
    "a JSON version of many digits": (f'{{"meta": {{"api-version": {DIGITS}}}, "files": []}}'.encode(), JSON),
    "too deep": (b'{"files": ' + b"[" * 200_000, JSON),
    "too deep in objects": (b'{"files": ' * 200_000, JSON),
    "too deep with half a character": (b'{"x": "\\ud800", "files": ' + b"[" * 900 + b"]" * 900 + b"}", JSON),
    "not UTF-8": (b'{"files": "\xff\xfe\xff"}', JSON),
    "nothing": (b"", JSON),
    "a mark alone": (b"\xff\xfe", JSON),
    "NUL": (b"\0" * 1000, JSON),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_page_that_can_not_be_read_is_refused_in_one_sentence(name: str) -> None:
    body, content_type = HOSTILE[name]
    with pytest.raises(PageError) as refused:
        parse_page(body, content_type, URL, "foo")
    assert refused.value.subject == URL
    assert "expected" in refused.value.problem
    assert len(refused.value.problem) < 400
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["a base that is no URL", "a charset that is none", "a character of many digits", "too deep"]
)
def test_it_takes_nothing_else_down(name: str, tmp_path: Path) -> None:
    good = wheel("good", "1.0")
    body, content_type = HOSTILE[name]
    with FakeIndex({"good": [good], "foo": []}) as index:
        index.fault("/simple/foo/", "body", body=body, content_type=content_type)
        project = mirror_folder(tmp_path, index, requirements=["good", "foo"])
        done = project.doit("mirror")
    assert done.returncode not in (0, 3)  # 3 is how doit ends with an error of its own
    assert "Traceback" not in done.stdout + done.stderr
    assert "/simple/foo/: expected" in " ".join((done.stdout + done.stderr).split())
    assert packages(project.output) == {"good": [good[0]]}


def test_whatever_a_parser_raises_is_told_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_text: str) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(html_page, "start_tags", break_down)
    with pytest.raises(PageError, match="KeyError: 'surprise'"):
        parse_page(LINK.encode(), HTML, URL, "foo")


@pytest.mark.parametrize("number", [DIGITS, f"-{DIGITS}", f"{DIGITS}.5", f"1e{DIGITS}", "1e999", "NaN", "Infinity"])
def test_a_number_that_no_machine_has_costs_only_its_own_file(number: str) -> None:
    found = parse_page(json_page(f'{entry(f""", "size": {number}""")}, {entry("", "2.0")}'), JSON, URL, "foo")
    assert list(map(str, found.versions)) == ["2.0"]
    ((filename, reason),) = found.skipped
    assert filename == "foo-1.0.tar.gz"
    assert "not a number of bytes" in reason
    assert len(reason) < 200


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"a": 1, "a": [2, {}]}',
            "[-0, 1.5, 9223372036854775807]",
            '"\\ud83d\\ude00 \\u00e9"',
            '"\\ud800 x"',
            " [] ",
        ),
        *("\ufeff[1]", "[NaN]", f"[{DIGITS}]", "", "[1] 2", "{'a': 1}", '"\t"', "[" * 100_000, "[1,]"),
    ],
)
def test_a_page_says_the_same_where_there_is_no_fast_reader(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> object:
        try:
            return repr(read_untrusted(text.encode(), most_containers=200_000, most_values=10))
        except ValueError as error:
            return str(error)

    found = read()
    monkeypatch.setattr(untrusted_json, "_fast_loads", refuse)
    assert read() == found


def refuse(_body: bytes) -> None:
    raise ValueError("there is no faster reader")


@pytest.mark.parametrize(
    "filename", [f"foo-{DIGITS}.tar.gz", f"foo-1.0-{DIGITS}-py3-none-any.whl", f"foo-1.{DIGITS}.zip"]
)
def test_a_file_name_of_many_digits_is_none(filename: str) -> None:
    page = f'<a href="{filename}#sha256={SHA}">x</a>{LINK}'.encode()
    found = parse_page(page, HTML, URL, "foo")
    assert list(map(str, found.versions)) == ["1.0"]
    assert "not safe" in found.skipped[0][1]


@pytest.mark.parametrize("half", ["\\ud800", "\ud800"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_half_a_character_is_a_question_mark_in_every_encoding(encoding: str, half: str) -> None:
    text = json_page(entry(f', "requires-python": "{half}"'.replace("\ud800", "@@@"))).decode()
    body = text.replace("@@@", "\ud800").encode(encoding, "surrogatepass")
    found = parse_page(body, JSON, URL, "foo")
    (file,) = found.files(found.versions[0])
    assert file.requires_python is not None
    file.requires_python.encode()
    assert Project.from_bytes(parse_page(body, JSON, URL, "foo").to_bytes()).versions == found.versions


@pytest.mark.parametrize(
    "charset",
    ["utf-8", "UTF8", "iso-8859-1", "latin1", "windows-1252", "us-ascii", "utf-16", "gbk", "euc-jp", "nobody-knows"],
)
def test_the_charsets_of_pages_are_read(charset: str) -> None:
    body = LINK.encode("utf-16" if charset == "utf-16" else "ascii")
    assert parse_page(body, f"{HTML}; charset={charset}", URL, "foo").versions


@pytest.mark.parametrize("before", ["", LINK])
@pytest.mark.parametrize(
    "part",
    ["<a ", '<a b="', "<a b='", "<a b=", "<a/", "<a =", "<a b \t", "<a\t\t", "<!--", "<!-- --", "<!", "<![", "<![CDATA[", "<?",
     "</", "</a ", '</a b="', "<", "&", "&#", "&amp", "<script>", "<title>", "<script></script", "<b>", '<a href="',
     "--", "<!-->", "</>"],
)  # fmt: skip
def test_the_time_for_a_page_grows_with_its_size_and_no_faster(part: str, before: str) -> None:
    body = (before + part * (400_000 // len(part))).encode()
    with patience(), suppress(PageError):
        parse_page(body, HTML, URL, "foo")


@pytest.mark.parametrize(
    "files",
    ["{}," * 1_100_000, "[]," * 1_100_000, '{"":0},' * 1_100_000, "0," * 4_100_000, "{}," * 250_000],
    ids=["objects", "lists", "full objects", "values", "files"],
)
def test_a_json_page_that_would_grow_in_memory_is_refused(files: str) -> None:
    with pytest.raises(PageError, match=r"expected at most [0-9]"):
        parse_page(json_page(files[:-1]), JSON, URL, "foo")


def test_entries_that_are_none_are_counted_and_not_listed() -> None:
    found = parse_page(json_page("{}," * 1000 + entry("")), JSON, URL, "foo")
    assert found.skipped == (("", "1,000 entries without a file name"),)


def test_a_page_of_too_many_links_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_page, "MOST_FILES", 1000)
    with pytest.raises(PageError, match="more than 1,000 files"):
        parse_page(b"<a href=x>" * 1001, HTML, URL, "foo")


def test_a_page_of_too_many_tags_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_tags, "MOST_PARTS", 1000)
    for part in ("<b>", "</b>", "<!-->", '<b a="">'):
        with pytest.raises(PageError, match="tags and attributes"):
            parse_page(part.encode() * 1001, HTML, URL, "foo")


def test_a_page_says_how_large_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeIndex({"foo": [wheel("foo", "1.0")]}) as index, upstream.Upstream([index.url]) as asked:
        monkeypatch.setattr(upstream, "MOST_PAGE", 100)
        with pytest.raises(UpstreamError, match="expected at most 100 bytes, found more"):
            asked.page("foo", None)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('<A HREF="x" data-y>', [("a", {"href": "x", "data-y": None})]),
        ("<a href=x>", [("a", {"href": "x"})]),
        ("<a href=x/y/>", [("a", {"href": "x/y/"})]),
        ("<a href='a\"b>c'>", [("a", {"href": 'a"b>c'})]),
        ("<a\nhref\t=\r\n'x'\n>", [("a", {"href": "x"})]),
        ("<br/><br />", [("br", {}), ("br", {})]),
        ("<a href=x href=y>", [("a", {"href": "y"})]),
        ("<a href=>", [("a", {"href": ""})]),
        ('<a x="1"y="2">', [("a", {"x": "1", "y": "2"})]),
        ("<!-- <a> --><b>", [("b", {})]),
        ("<!--><b>", [("b", {})]),
        ("<!---><b>", [("b", {})]),
        ("<!-- --!><b>", [("b", {})]),
        ("<!DOCTYPE html><b>", [("b", {})]),
        ("<?xml ?><b>", [("b", {})]),
        ("</ a><b>", [("b", {})]),
        ("</a x='>'><b>", [("b", {})]),
        ("<script>'<a>'</script><b>", [("script", {}), ("b", {})]),
        ("<script>'</scripts><a>'</SCRIPT ><b>", [("script", {}), ("b", {})]),
        ("<title><b>", [("title", {}), ("b", {})]),
        ("a < b <c", []),
        ("<a b='", []),
        ("<1><b>", [("b", {})]),
    ],
)
def test_tags_are_what_the_standard_says(text: str, tags: list[tuple[str, dict[str, str | None]]]) -> None:
    assert list(start_tags(text)) == tags


class Reference(HTMLParser):
    """The standard library's parser, which agrees on pages that are well formed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


names = st.sampled_from(["a", "br", "p", "h1", "meta", "base"])
attributes = st.dictionaries(
    st.sampled_from(["href", "data-yanked", "rel"]),
    st.none() | st.text(alphabet="abc&<>;= #/1'", max_size=8),
    max_size=3,
)
texts = st.text(alphabet="abc&; \n", max_size=6)


@given(st.lists(st.tuples(texts, names, attributes, st.booleans()), max_size=6))
def test_on_well_formed_pages_it_agrees_with_the_standard_library(
    parts: list[tuple[str, str, dict[str, str | None], bool]],
) -> None:
    text = "<!DOCTYPE html><!-- <a> -->"
    for before, name, found, ends in parts:
        shown = "".join(f" {key}" if value is None else f' {key}="{value}"' for key, value in found.items())
        text += f"{before}<{name}{shown}>{before}" + (f"</{name}>" if ends else "")
    reference = Reference()
    reference.feed(text)
    reference.close()
    read = [
        (name, {key: None if value is None else unescaped(value) for key, value in found.items()})
        for name, found in start_tags(text)
    ]
    assert read == reference.tags


@given(st.text(alphabet="<>a/ b=\"'-!?&#;x\n", max_size=60))
def test_whatever_a_page_says_its_tags_end(text: str) -> None:
    for name, found in start_tags(text):
        assert name == name.lower()
        for value in found.values():
            with suppress(ValueError):
                unescaped(value or "")
