"""A project page, in JSON or HTML, shows what the index has; what no standard allows is skipped, with its reason."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.version import Version

from mirror_tasks.errors import IntegrityError, PageError
from mirror_tasks.index.file_names import is_sdist, is_wheel, version_of
from mirror_tasks.index.pages import parse_page
from mirror_tasks.index.project import File, Fingerprint, Project
from tests.fake_index import HTML, HTML_V1, JSON, FakeIndex

URL = "https://index.example.com/simple/foo/"
SHA = "0123456789abcdef" * 4
OTHER_SHA = "fedcba9876543210" * 4


def entry(filename: str, **fields: Any) -> dict[str, Any]:
    return {"filename": filename, "url": f"https://files.example.com/{filename}", "hashes": {"sha256": SHA}, **fields}


def json_page(*entries: Any, **page: Any) -> bytes:
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "foo", "files": list(entries), **page}).encode()


def project(*entries: Any, name: str = "foo", **page: Any) -> Project:
    return parse_page(json_page(*entries, name=name, **page), JSON, URL, name)


def project_with_status(status: object) -> Project:
    return parse_page(json_page(**{"project-status": status}), JSON, URL, "foo")


def html(*anchors: str, head: str = "") -> bytes:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{'<br>'.join(anchors)}</body></html>".encode()


def anchor(filename: str, attributes: str = "", sha: str = SHA) -> str:
    return f'<a href="https://files.example.com/{filename}#sha256={sha}" {attributes}>{filename}</a>'


def only_file(found: Project) -> File:
    (version,) = found.versions
    (file,) = found.files(version)
    return file


def reasons(found: Project) -> Mapping[str, str]:
    return dict(found.skipped)


WORLD = {
    "foo": [
        ("foo-1.0-py3-none-any.whl", b"wheel", {"requires_python": ">=3.8, <4", "sidecar": b"Name: foo"}),
        ("foo-1.0.tar.gz", b"sdist", {"yanked": 'broken, says "me" & <others>'}),
        ("foo-1.1rc1.zip", b"zip", {"yanked": True}),
        ("foo-1.10-cp312-cp312-manylinux_2_28_x86_64.whl", b"big wheel"),
    ]
}


@pytest.mark.parametrize("form", [JSON, HTML_V1, HTML])
def test_both_forms_show_the_same_files(form: str) -> None:
    index = FakeIndex(WORLD)
    index.statuses["foo"] = {"status": "archived"}
    found = parse_page(index.page("foo", form), form, index.url + "foo/", "Foo")
    assert found.name == "foo"
    assert found.status == "archived"
    assert list(map(str, found.versions)) == ["1.10", "1.1rc1", "1.0"]
    wheel, sdist = found.files(Version("1.0"))
    assert wheel.filename == "foo-1.0-py3-none-any.whl"
    assert wheel.url == index.file_url("foo", wheel.filename)
    assert wheel.hashes["sha256"] == index.projects["foo"][wheel.filename].sha256
    assert wheel.requires_python == ">=3.8, <4"
    assert wheel.core_metadata is not None
    assert len(wheel.core_metadata["sha256"]) == 64
    assert (wheel.yanked, sdist.yanked) == (None, 'broken, says "me" & <others>')
    assert found.files(Version("1.1rc1"))[0].yanked == ""
    assert (sdist.requires_python, sdist.core_metadata) == (None, None)
    assert found.skipped == ()


def test_versions_are_sorted_as_versions_not_as_text() -> None:
    names = [
        f"foo-{version}.tar.gz" for version in ("1.9", "1.10", "1.10.post1", "1.10rc1", "2!0.1", "1.10.dev3", "0.9")
    ]
    found = project(*map(entry, names))
    assert list(map(str, found.versions)) == ["2!0.1", "1.10.post1", "1.10", "1.10rc1", "1.10.dev3", "1.9", "0.9"]


def test_spellings_of_one_version_are_one_release() -> None:
    found = project(entry("foo-1.0.tar.gz"), entry("foo-1.0.0-py3-none-any.whl"), entry("foo-1-py2-none-any.whl"))
    assert len(found.versions) == 1
    assert [file.filename for file in found.files(Version("1.0.0.0"))] == [
        "foo-1-py2-none-any.whl",
        "foo-1.0.0-py3-none-any.whl",
        "foo-1.0.tar.gz",
    ]
    assert found.files(Version("3")) == ()


def test_files_of_a_version_are_the_same_objects_each_time() -> None:
    found = project(entry("foo-1.0.tar.gz"))
    assert found.files(Version("1.0")) is found.files(Version("1.0"))


@pytest.mark.parametrize(
    ("filename", "name", "version"),
    [
        ("foo-1.0.tar.gz", "foo", "1.0"),
        ("Foo.Bar-1.0.zip", "foo-bar", "1.0"),
        ("foo-bar-1.0.tar.gz", "foo_bar", "1.0"),
        ("foo__bar-1.0.tar.gz", "foo-bar", "1.0"),
        ("foo-2-1.0.tar.gz", "foo-2", "1.0"),
        ("foo-1.0-1.tar.gz", "foo", "1.0.post1"),
        ("foo-1.0-beta2.tar.gz", "foo", "1.0b2"),
        ("foo-1.0+local.7.tar.gz", "foo", "1.0+local.7"),
        ("foo-v1.0.tar.gz", "foo", "1.0"),
        ("zope.interface-4.0.5.zip", "zope-interface", "4.0.5"),
        ("foo-1.0-py3-none-any.whl", "foo", "1.0"),
        ("Foo_Bar-1.0-1abc-cp312-abi3-win_amd64.whl", "foo-bar", "1.0"),
        ("foo-1.0-py2.py3-none-manylinux1_x86_64.manylinux2010_x86_64.whl", "foo", "1.0"),
    ],
)
def test_the_version_is_read_from_old_and_new_file_names(filename: str, name: str, version: str) -> None:
    assert version_of(filename, name) == Version(version)
    found = project(entry(filename), name=name)
    assert found.versions == (Version(version),), found.skipped


@pytest.mark.parametrize(
    ("filename", "reason"),
    [
        ("foo-1.0.win32.zip", "PEP 440"),
        ("foo-1.0.linux-x86_64.tar.gz", "PEP 440"),
        ("foo-latest.tar.gz", "PEP 440"),
        ("foo-bar-1.0.tar.gz", "PEP 440"),
        ("foo.tar.gz", "not named foo-VERSION"),
        ("foobar-1.0.tar.gz", "not named foo-VERSION"),
        ("foo-1.0-py3.7.egg", "an egg"),
        ("foo-1.0.win32-py2.4.exe", "a Windows installer"),
        ("foo-1.0.msi", "a Windows installer"),
        ("foo-1.0-1.noarch.rpm", "an rpm"),
        ("foo-1.0.tar.Z", "compressed as no installer reads it"),
        ("foo-1.0.tar.zst", "compressed as no installer reads it"),
        ("foo-1.0.txt", "neither a wheel nor an sdist"),
        ("bar-1.0-py3-none-any.whl", "another project"),
        ("foo-1.0-none-any.whl", "not a wheel's name"),
        ("foo-1.0.whl", "not a wheel's name"),
        ("foo-1.0-py3-none-any-x86v3.whl", "a wheel variant"),
        ("foo-1.0-1-py3-none-any-x86v3.whl", "a wheel variant"),
        ("foo-1.0-1-2-3-4-py3-none-any.whl", "not a wheel's name"),
        ("foo-1.0-py3..py2-none-any.whl", "not one that a wheel may have"),
        ("foo-1.0-3.7-none-any.whl", "not one that a wheel may have"),
        ("foo-1.0--none-any.whl", "not one that a wheel may have"),
        ("foo-one-py3-none-any.whl", "PEP 440"),
        (
            f"foo-1.0-{'.'.join(['py3'] * 15)}-{'.'.join(['none'] * 15)}-{'.'.join(['any'] * 15)}.whl",
            "more than 2000 tags",
        ),
    ],
)
def test_a_file_that_no_standard_allows_is_skipped_with_its_reason(filename: str, reason: str) -> None:
    found = project(entry(filename), entry("foo-2.0.tar.gz"))
    assert found.versions == (Version("2.0"),)
    assert reason in reasons(found)[filename]
    with pytest.raises(PageError, match=reason):
        version_of(filename, "foo")


@pytest.mark.parametrize(
    "filename",
    ["../../../tmp/foo-1.0.tar.gz", "..", "", "/foo-1.0.tar.gz", "a\\foo-1.0.tar.gz", "C:foo-1.0.tar.gz",
     ".foo-1.0.tar.gz", "foo-1.0.tar.gz\x00", "foo-1.0\r\nX: y.tar.gz", "foo-1.0.tar.gz ",
     "-foo-1.0.tar.gz", "x" * 300 + "-1.0.tar.gz"],
)  # fmt: skip
def test_a_hostile_file_name_never_becomes_a_file(filename: str) -> None:
    found = project(entry(filename), entry("foo-2.0.tar.gz"))
    assert found.versions == (Version("2.0"),)
    ((shown, reason),) = found.skipped
    assert shown == repr(filename[:300])
    assert "not safe" in reason
    with pytest.raises(IntegrityError):
        version_of(filename, "foo")


@pytest.mark.parametrize("link", ["..%2f..%2ffoo-1.0.tar.gz", "..%5Cfoo-1.0.tar.gz", "%2e%2e%2ffoo-1.0.tar.gz"])
def test_an_encoded_separator_in_a_link_never_becomes_a_file_name(link: str) -> None:
    found = parse_page(html(f'<a href="{link}#sha256={SHA}">x</a>', anchor("foo-2.0.tar.gz")), HTML, URL, "foo")
    assert [file.filename for version in found.versions for file in found.files(version)] == ["foo-2.0.tar.gz"]
    assert "not safe" in found.skipped[0][1]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"hashes": {"md5": "d41d8cd9"}}, "its md5 is 'd41d8cd9', not 32 hexadecimal digits"),
        ({"hashes": {"sha256": "xyz"}}, "its sha256 is 'xyz', not 64 hexadecimal digits"),
        ({"hashes": {"SHA256": "xyz"}}, "its SHA256 is 'xyz', not 64 hexadecimal digits"),
        ({"hashes": {"sha256": SHA + "\n"}}, "its sha256 is"),
        ({"hashes": {"sha256": 7}}, "its sha256 is 7"),
        ({"hashes": [SHA]}, "not digests by algorithm"),
        ({"url": None}, "URL"),
        ({"url": "ftp://files.example.com/foo-1.0.tar.gz"}, "URL"),
        ({"url": "file:///etc/passwd"}, "URL"),
        ({"url": "data:,x"}, "URL"),
        ({"url": "javascript:alert(1)"}, "URL"),
        ({"url": "https://["}, "URL"),
        ({"url": "https://files.example.com:99999/foo-1.0.tar.gz"}, "URL"),
        ({"url": "https://files.example.com:x/foo-1.0.tar.gz"}, "URL"),
        ({"url": "http:///foo-1.0.tar.gz"}, "URL"),
        ({"size": "12"}, "size"),
        ({"size": -1}, "size"),
        ({"size": True}, "size"),
        ({"size": 1.5}, "size"),
        ({"requires-python": 3}, "requires-python"),
        ({"upload-time": 3}, "upload-time"),
        ({"yanked": 1}, "yanked"),
        ({"yanked": ["x"]}, "yanked"),
    ],
)
def test_an_entry_of_wrong_types_costs_only_its_own_file(broken: Mapping[str, Any], reason: str) -> None:
    found = project(entry("foo-1.0.tar.gz", **broken), entry("foo-2.0.tar.gz"))
    assert found.versions == (Version("2.0"),)
    assert reason in reasons(found)["foo-1.0.tar.gz"]


MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    ("announced", "kept"),
    [
        ({"hashes": {}}, {}),
        ({"hashes": None}, {}),
        ({"hashes": {"md5": MD5.upper()}}, {"md5": MD5}),
        ({"hashes": {"MD5": MD5}}, {"md5": MD5}),
        ({"hashes": {"blake2b": "x", "sha1": MD5 + "0" * 8}}, {"sha1": MD5 + "0" * 8}),
    ],
)
def test_a_file_without_a_sha256_is_a_file_as_it_is_for_installers(
    announced: Mapping[str, Any], kept: Mapping[str, str]
) -> None:
    found = project(entry("foo-1.0.tar.gz", **announced), entry("foo-2.0.tar.gz"))
    again = Project.from_bytes(found.to_bytes())
    assert found.files(Version("1.0"))[0].hashes == kept
    assert found.unhashed == {"foo-1.0.tar.gz"}
    assert again.unhashed == found.unhashed
    assert again.files(Version("1.0")) == found.files(Version("1.0"))


@pytest.mark.parametrize("fragment", ["", f"#md5={MD5}", "#egg=foo-1.0"])
def test_a_link_without_a_sha256_is_a_file_too(fragment: str) -> None:
    found = parse_page(html(f'<a href="foo-1.0.tar.gz{fragment}">x</a>'), HTML, URL, "foo")
    assert only_file(found).hashes == ({"md5": MD5} if "md5" in fragment else {})


def test_what_was_found_of_a_file_is_put_to_it_as_long_as_the_page_says_the_same() -> None:
    found = project(entry("foo-1.0.tar.gz", hashes={"md5": MD5}), entry("foo-1.0.zip"))
    assert found.files(Version("1.0"))[0].hashes == {"md5": MD5}
    fits = found.with_fingerprints({"foo-1.0.tar.gz": Fingerprint(OTHER_SHA, 7, {"md5": MD5})})
    file, hashed = fits.files(Version("1.0"))
    assert (file.hashes["sha256"], file.size) == (OTHER_SHA, 7)
    assert hashed.hashes == {"sha256": SHA}
    changed = found.with_fingerprints({"foo-1.0.tar.gz": Fingerprint(OTHER_SHA, 7, {"md5": "0" * 32})})
    assert changed.files(Version("1.0"))[0].hashes == {"md5": MD5}
    resized = project(entry("foo-1.0.tar.gz", hashes={}, size=8))
    assert (
        "sha256" not in only_file(resized.with_fingerprints({"foo-1.0.tar.gz": Fingerprint(OTHER_SHA, 7, {})})).hashes
    )


def test_where_hashes_are_required_a_file_without_is_skipped_by_name() -> None:
    found = project(
        entry("foo-1.0.tar.gz", hashes={}), entry("foo-2.0.tar.gz", hashes={}), entry("foo-2.0.zip")
    ).without_unhashed("why")
    assert [file.filename for version in found.versions for file in found.files(version)] == ["foo-2.0.zip"]
    assert found.skipped == (("foo-1.0.tar.gz", "why"), ("foo-2.0.tar.gz", "why"))


@pytest.mark.parametrize("junk", [None, 7, "foo-1.0.tar.gz", [], {}, {"filename": 7}, {"filename": None}])
def test_an_entry_that_is_none_costs_nothing_else(junk: Any) -> None:
    found = project(junk, entry("foo-2.0.tar.gz"))
    assert found.versions == (Version("2.0"),)
    assert len(found.skipped) == 1


def test_a_file_listed_twice_is_one_file() -> None:
    found = project(entry("foo-1.0.tar.gz", size=1), entry("foo-1.0.tar.gz", size=1))
    assert only_file(found).size == 1
    assert found.skipped == ()


def test_a_file_listed_twice_with_two_hashes_is_none() -> None:
    again = entry("foo-1.0.tar.gz", hashes={"sha256": OTHER_SHA})
    for entries in ([entry("foo-1.0.tar.gz"), again], [entry("foo-1.0.tar.gz"), again, again]):
        found = project(*entries, entry("foo-2.0.tar.gz"))
        assert found.versions == (Version("2.0"),)
        assert reasons(found)["foo-1.0.tar.gz"] == "listed twice, with different hashes"


@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        ({}, None),
        ({"yanked": False}, None),
        ({"yanked": None}, None),
        ({"yanked": True}, ""),
        ({"yanked": ""}, ""),
        ({"yanked": "why"}, "why"),
    ],
)
def test_yanked_is_never_taken_for_not_yanked(announced: Mapping[str, Any], expected: str | None) -> None:
    assert only_file(project(entry("foo-1.0.tar.gz", **announced))).yanked == expected


@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        ({}, None),
        ({"core-metadata": False}, None),
        ({"core-metadata": True}, {}),
        ({"core-metadata": {"sha256": SHA.upper()}}, {"sha256": SHA}),
        ({"dist-info-metadata": {"sha256": SHA}}, {"sha256": SHA}),
        ({"core-metadata": False, "dist-info-metadata": True}, None),
        ({"core-metadata": {"sha256": 7}}, {}),
    ],
)
def test_the_sidecar_is_announced_under_its_new_or_its_old_name(announced: Mapping[str, Any], expected: Any) -> None:
    assert only_file(project(entry("foo-1.0-py3-none-any.whl", **announced))).core_metadata == expected


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("", None),
        ('data-core-metadata="true"', {}),
        (f'data-core-metadata="sha256={SHA}"', {"sha256": SHA}),
        (f'data-dist-info-metadata="sha256={SHA}"', {"sha256": SHA}),
        ('data-core-metadata="false"', None),
    ],
)
def test_the_sidecar_is_announced_in_html_too(attribute: str, expected: Any) -> None:
    page = html(anchor("foo-1.0-py3-none-any.whl", attribute))
    assert only_file(parse_page(page, HTML, URL, "foo")).core_metadata == expected


def test_hashes_are_in_lower_case() -> None:
    found = only_file(project(entry("foo-1.0.tar.gz", hashes={"sha256": SHA.upper(), "MD5": "D" * 32})))
    assert found.hashes == {"sha256": SHA, "md5": "d" * 32}


@pytest.mark.parametrize(
    ("head", "link", "expected"),
    [
        ("", "foo-1.0.tar.gz", "https://index.example.com/simple/foo/foo-1.0.tar.gz"),
        ("", "../../files/foo-1.0.tar.gz", "https://index.example.com/files/foo-1.0.tar.gz"),
        ("", "/files/foo-1.0.tar.gz", "https://index.example.com/files/foo-1.0.tar.gz"),
        ("", "//files.example.com/foo-1.0.tar.gz", "https://files.example.com/foo-1.0.tar.gz"),
        ('<base href="https://files.example.com/a/">', "foo-1.0.tar.gz", "https://files.example.com/a/foo-1.0.tar.gz"),
        ('<base href="../b/"><base href="/c/">', "foo-1.0.tar.gz", "https://index.example.com/simple/b/foo-1.0.tar.gz"),
        ("", "foo-1.0.tar.gz?token=a", "https://index.example.com/simple/foo/foo-1.0.tar.gz?token=a"),
        ("", " foo-1.0.tar.gz", "https://index.example.com/simple/foo/foo-1.0.tar.gz"),
    ],
)
def test_links_are_relative_to_the_page_or_its_base(head: str, link: str, expected: str) -> None:
    page = html(f'<a href="{link}#sha256={SHA}">foo-1.0.tar.gz</a>', head=head)
    assert only_file(parse_page(page, HTML, URL, "foo")).url == expected


def test_links_of_the_json_form_may_be_relative() -> None:
    assert only_file(project(entry("foo-1.0.tar.gz", url="../x/foo-1.0.tar.gz"))).url == (
        "https://index.example.com/simple/x/foo-1.0.tar.gz"
    )


def test_credentials_in_a_link_are_not_kept() -> None:
    file = only_file(project(entry("foo-1.0.tar.gz", url="https://me:secret@files.example.com/foo-1.0.tar.gz")))
    assert file.url == "https://files.example.com/foo-1.0.tar.gz"


def test_the_name_is_the_links_own_where_its_text_is_cut_short() -> None:
    page = html(
        f'<a href="foo-1.0%2Bcu118-py3-none-any.whl#sha256={SHA}">foo-1.0+cu1..&gt;</a>', '<a href="../">up</a>'
    )
    assert (
        only_file(parse_page(page, "text/html; charset=UTF-8", URL, "foo")).filename == "foo-1.0+cu118-py3-none-any.whl"
    )


def test_a_local_index_may_name_local_files() -> None:
    page = html(f'<a href="foo-1.0.tar.gz#sha256={SHA}">x</a>')
    found = parse_page(page, HTML, "file:///srv/simple/foo/index.html", "foo")
    assert only_file(found).url == "file:///srv/simple/foo/foo-1.0.tar.gz"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", JSON),
        (b"[]", JSON),
        (b"\xff", JSON),
        (b"[" * 100_000, JSON),
        (b'{"meta": {"api-version": "1.0"}, "name": "foo"}', JSON),
        (b'{"meta": {"api-version": "1.0"}, "name": "foo", "files": {}}', JSON),
        (b'{"name": "foo", "files": []}', JSON),
        (json_page(meta={"api-version": "2.0"}), JSON),
        (json_page(meta={"api-version": 1}), JSON),
        (json_page(name="bar"), JSON),
        (json_page(name=7), JSON),
        (json_page(), "application/json"),
        (json_page(), ""),
        (html(head='<meta name="pypi:repository-version" content="2.0">'), HTML),
        (html('<form action="/login"><input name="password"></form>'), HTML),
        (html('<a href="https://index.example.com/login">Sign in</a>'), HTML),
    ],
)
def test_a_page_that_is_none_is_refused_and_says_where(body: bytes, content_type: str) -> None:
    with pytest.raises(PageError) as refused:
        parse_page(body, content_type, URL, "foo")
    assert refused.value.subject == URL
    assert "expected" in refused.value.problem
    assert "found" in refused.value.problem


def test_a_page_without_files_is_a_page() -> None:
    assert project().versions == ()
    assert parse_page(html(), HTML, URL, "foo").versions == ()


def test_a_newer_minor_version_of_the_standard_is_read() -> None:
    found = project(entry("foo-1.0.tar.gz", novelty=[1]), meta={"api-version": "1.99"}, versions=["1.0"])
    assert found.versions == (Version("1.0"),)


def test_a_status_comes_with_its_reason() -> None:
    found = project_with_status({"status": "quarantined", "reason": "malware"})
    assert (found.status, found.status_reason) == ("quarantined", "malware")
    assert project_with_status({"status": 7}).status == "active"
    assert project_with_status(None).status == "active"


def test_half_a_character_can_still_be_written_to_a_file() -> None:
    """JSON can say a lone surrogate, which no encoding can."""
    body = json_page(entry("foo-1.0.tar.gz", yanked="x")).replace(b'"x"', rb'"bad \ud800 \ud83d\ude00"')
    yanked = only_file(parse_page(body, JSON, URL, "foo")).yanked
    assert yanked == "bad ? \N{GRINNING FACE}"


def test_a_page_is_kept_as_the_same_bytes_where_orjson_is_not_installed() -> None:
    odd = 'é \N{GRINNING FACE} \x7f \x1f \u2028 \\ " /'
    page = json_page(
        entry("foo-1.0.tar.gz", yanked=odd, size=1 << 40, **{"upload-time": odd, "requires-python": odd}),
        entry(
            "foo-1.0-py3-none-any.whl", hashes={"sha256": SHA, "md5": 7, "sha1": "ab"}, **{"core-metadata": {"x": [1]}}
        ),
        entry("foo-2.0.tar.gz", size=1 << 70),
        entry("foo-2.1.tar.gz", yanked="half"),
        **{"project-status": {"status": "archived", "reason": odd}},
    ).replace(b'"half"', rb'"half \ud800"')
    without = (
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'orjson' else find(name, *more)\n"
        "from mirror_tasks.index import pages; assert 'orjson' not in sys.modules\n"
        f"page = pages.parse_page(sys.stdin.buffer.read(), {JSON!r}, {URL!r}, 'foo')\n"
        "sys.stdout.buffer.write(page.to_bytes())"
    )
    kept = subprocess.run([sys.executable, "-c", without], input=page, stdout=subprocess.PIPE, check=True).stdout
    assert kept == parse_page(page, JSON, URL, "foo").to_bytes()
    assert odd in {only.yanked for only in Project.from_bytes(kept).files(Version("1.0"))}


def test_kinds_are_told_by_name() -> None:
    assert is_wheel("foo-1.0-py3-none-any.whl")
    assert not is_wheel("foo-1.0.tar.gz")
    assert is_sdist("foo-1.0.tar.gz")
    assert is_sdist("foo-1.0.zip")
    assert is_sdist("foo-1.0.tar.bz2")
    assert not is_sdist("foo-1.0.tar.Z")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["1.0", "foo", SHA, "../x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sha256", "status", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.sampled_from(
    ["foo-1.0.tar.gz", "foo-1.0-py3-none-any.whl", "foo-2.zip", "../foo-1.tar.gz", "\ud800"]
) | st.text(max_size=20)
entries = st.fixed_dictionaries(
    {},
    optional={
        "filename": names | junk, "url": st.just("https://files.example.com/x") | st.text(max_size=30) | junk,
        "hashes": st.just({"sha256": SHA}) | junk, "size": junk, "requires-python": junk, "yanked": junk,
        "core-metadata": junk, "dist-info-metadata": junk, "upload-time": junk,
    },
)  # fmt: skip


@given(st.lists(entries | junk, max_size=6))
def test_whatever_a_json_page_says_every_entry_is_a_sound_file_or_skipped(listed: list[Any]) -> None:
    found = project(*listed)
    files = [file for version in found.versions for file in found.files(version)]
    assert all(version for version in found.versions)
    assert len({file.filename for file in files}) == len(files)
    for file in files:
        assert "/" not in file.filename
        assert file.url.startswith(("https://", "http://"))
        assert len(file.hashes["sha256"]) == 64 if "sha256" in file.hashes else file.filename in found.unhashed
        json.dumps([file.filename, file.yanked, file.requires_python, file.upload_time], ensure_ascii=False).encode()


@example("<![0")
@given(st.text(alphabet="<>a/ href=\"'#foo-1.0.tar.gz&;!-[]\n", max_size=200))
def test_whatever_an_html_page_says_it_is_read_or_refused(text: str) -> None:
    with suppress(PageError):
        parse_page(text.encode(), HTML, URL, "foo")
