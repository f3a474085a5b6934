"""Of several indexes each serves its own projects: what is bound to one comes from there and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mirror_tasks.config.bindings import binding_of, general_index, normalised_pattern, reason_of_absence
from mirror_tasks.config.model import Index
from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.origins import is_same_server, origin_of
from mirror_tasks.index.pages import parse_page
from mirror_tasks.index.served_page import Seen
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder, packages
from tests.test_config import WHOLE, config, faults

A, B, C = (f"https://{one}.example.com/simple/" for one in "abc")


# --- Which index may serve a project


@pytest.mark.parametrize(
    ("name", "expected", "pattern"),
    [
        ("ours-core", ["ours"], "ours-*"),
        ("internal-lib", ["ours"], "internal-lib"),
        ("torch", ["cuda"], "torch"),
        ("torchvision", ["cuda"], "torch*n"),
        ("ours", ["first", "last"], None),  # a pattern is matched whole
        ("torch-extra", ["first", "last"], None),
        ("yours-core", ["first", "last"], None),
    ],
)
def test_a_pattern_binds_a_project_to_its_index_wherever_that_stands(
    name: str, expected: Sequence[str], pattern: str | None
) -> None:
    indexes = [
        Index(A, name="first"),
        Index(A, name="ours", projects=("ours-*", "internal-lib")),
        Index(B, name="last"),
        Index(C, name="cuda", projects=("torch", "torch*n")),
    ]
    binding = binding_of(name, indexes)
    assert ([index.name for index in binding.indexes], binding.pattern) == (expected, pattern)


def test_the_first_index_with_a_pattern_that_matches_wins() -> None:
    broad, narrow = Index(A, projects=("foo-*",)), Index(B, projects=("foo-bar",))
    assert binding_of("foo-bar", [broad, narrow]).indexes == (broad,)
    assert binding_of("foo-bar", [narrow, broad]).indexes == (narrow,)


def test_an_index_with_patterns_serves_nothing_else() -> None:
    one = [Index(A, projects=("foo",))]
    assert binding_of("bar", one).indexes == ()
    assert "no index may serve it" in reason_of_absence("bar", one)


def test_of_a_project_that_is_bound_to_nothing_no_reason_names_an_index_or_a_pattern() -> None:
    several = [Index(A), Index(B), Index(C, projects=("foo",)), Index(C, locked=frozenset({"bar"}))]
    for indexes in (None, several, several[:1]):
        assert reason_of_absence("baz", indexes) == "the index has no project of this name"
    assert reason_of_absence("foo", several) == "the index that foo binds it to has no project of this name"


def test_nothing_is_bound_where_any_index_may_serve_it() -> None:
    several = [Index(A), Index(B, locked=frozenset({"bar"})), Index(C, projects=("foo",))]
    assert [binding_of(name, several).is_free for name in ("foo", "bar", "baz")] == [False, False, True]
    assert not binding_of("baz", several[2:]).is_free


def test_where_one_index_stands_for_all_it_is_the_first_that_serves_what_is_not_bound() -> None:
    ours, first, second = Index(A, projects=("foo",)), Index(B), Index(C)
    assert general_index([ours, first, second]) == first
    assert general_index([ours]) == ours


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Ours_*", "ours-*"),
        ("My.Lib", "my-lib"),
        ("a--b", "a-b"),
        (" torch ", "torch"),
        ("*", "*"),
        ("a**b", "a*b"),
        ("*-plugin", None),  # no name begins with a dash, but the * may stand for its beginning
    ],
)
def test_a_pattern_is_read_as_names_are_compared(written: str, meant: str | None) -> None:
    assert normalised_pattern(written) == (meant or written)


@pytest.mark.parametrize(
    "wrong", ["", "-foo", "foo-", "foo?", "[ab]c", "foo/bar", "naïve", "foo bar", "foo>=1", "!foo"]
)
def test_a_pattern_that_no_name_can_match_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="names of projects"):
        normalised_pattern(wrong)


# --- In mirror.yaml


def test_projects_and_name_stand_beside_the_url(tmp_path: Path) -> None:
    text = f"{WHOLE}\nindex: [{{url: {A}, projects: [Ours_*, ours-*, 'internal.lib'], name: ours}}, {B}]"
    assert config(tmp_path, text).indexes == (
        Index(A, projects=("ours-*", "internal-lib"), name="ours"),
        Index(B),
    )


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        *(
            (
                f"[{{url: {A}, projects: {wrong}}}]",
                "index[0].projects: expected a list of names of projects, in which *",
            )
            for wrong in ("[]", "ours", "{a: b}", "[1]", "[-ours]", "['ours[0-9]']", "[[ours]]", "[null]")
        ),
        (f"{{url: {A}, projects: [' ']}}", "index.projects: expected a list of names of projects"),
        (f"[{{url: {A}, name: ' a/b'}}]", "index[0].name: expected a name of letters, digits"),
        (f"[{{url: {A}, name: 1}}]", "index[0].name: expected one line of text"),
        (f"[{{url: {A}, name: a}}, {{url: {B}, name: a}}]", "index[1].name: another index has the name 'a' already"),
        (f"[{{url: {A}, projects: [a]}}, {A}]", "index[1]: this URL is listed already, with other keys"),
        (
            f"[{A}, 'https://me:{'x' * 3}@a.example.com/simple']",
            "index[1]: this URL is listed already, with other keys",
        ),
    ],
)
def test_a_wrong_index_is_refused_with_its_key_path(tmp_path: Path, entries: str, expected: str) -> None:
    said = faults(tmp_path, f"{WHOLE}\nindex: {entries}")
    assert len(said) == 1, said
    assert said[0].startswith(expected)


def test_an_index_listed_twice_alike_is_one(tmp_path: Path) -> None:
    assert config(tmp_path, f"{WHOLE}\nindex: [{A}, {A.rstrip('/')}]").indexes == (Index(A),)


# --- Dependency confusion: one name on two indexes


@pytest.fixture
def ours() -> Iterator[FakeIndex]:
    with FakeIndex({"ours-core": [wheel("ours-core", "1.0")]}) as index:
        yield index


@pytest.fixture
def public() -> Iterator[FakeIndex]:
    """An index on which somebody took our name, with a higher version."""
    with FakeIndex({"ours-core": [wheel("ours-core", "99.0")], "other": [wheel("other", "1.0")]}) as index:
        yield index


def versions(upstream: Upstream, name: str, known: Seen | None = None) -> tuple[list[str], Seen]:
    page = upstream.page(name, known)
    assert page is not None
    return [str(one) for one in parse_page(page.body, page.content_type, page.url, name).versions], page.seen


@pytest.mark.parametrize("pattern", ["ours-*", "ours-core", "*core"])
@pytest.mark.parametrize("ours_is_first", [True, False])
def test_a_bound_project_is_asked_of_its_index_alone_in_each_order(
    ours: FakeIndex, public: FakeIndex, pattern: str, ours_is_first: bool
) -> None:
    indexes = [Index(ours.url, projects=(pattern,)), Index(public.url)]
    with Upstream(indexes if ours_is_first else indexes[::-1]) as upstream:
        assert versions(upstream, "ours-core")[0] == ["1.0"]
        assert public.log == []
        assert versions(upstream, "other")[0] == ["1.0"]
        assert ours.requests["/simple/other/"] == 0  # it serves nothing else, and is told of nothing else


@pytest.mark.parametrize("ours_is_first", [True, False])
def test_an_unbound_project_is_that_of_the_first_index_that_has_it(
    ours: FakeIndex, public: FakeIndex, ours_is_first: bool
) -> None:
    with Upstream([ours.url, public.url] if ours_is_first else [public.url, ours.url]) as upstream:
        assert versions(upstream, "ours-core")[0] == (["1.0"] if ours_is_first else ["99.0"])


@pytest.mark.parametrize("ours_is_first", [True, False])
def test_a_bound_project_that_its_index_lacks_is_no_project_and_the_message_says_what_bound_it(
    ours: FakeIndex, public: FakeIndex, ours_is_first: bool
) -> None:
    public.add("ours-new", *wheel("ours-new", "1.0"))
    indexes = [Index(ours.url, projects=("ours-*",), name="private"), Index(public.url)]
    with Upstream(indexes if ours_is_first else indexes[::-1]) as upstream, pytest.raises(UpstreamError) as absent:
        upstream.page("ours-new", None)
    assert absent.value.status == 404
    assert "private has no such project, and ours-* under its projects binds it to that index alone" in str(
        absent.value
    )
    assert public.log == []


def test_a_bound_project_is_not_taken_from_where_its_index_leads(ours: FakeIndex, public: FakeIndex) -> None:
    """As pypiserver does by default with what it does not have."""
    ours.fault("/simple/ours-new/", "redirect", to=f"{public.url}ours-core/")
    ours.fault("/simple/ours-old/", "redirect", to=f"{ours.url}ours-core/")
    with Upstream([Index(ours.url, projects=("ours-*",)), public.url]) as upstream:
        with pytest.raises(
            UpstreamError, match=r"projects binds it to this index, found a redirect.*--disable-fallback"
        ):
            upstream.page("ours-new", None)
        assert public.log == []
        assert upstream.page("ours-old", None) is not None  # on the same server
    with Upstream([ours.url]) as upstream:
        assert upstream.page("ours-new", None) is not None  # bound to nobody


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a.example.com/", "https://a.example.com/", True),
        ("https://a.example.com/", "https://a.example.com:443/b", True),
        ("https://a.example.com/", "https://b.example.com/", False),
        ("http://a.example.com:8080/", "https://a.example.com/", False),
        ("http://a.example.com:8080/", "http://a.example.com:8081/", False),
    ],
)
def test_the_server_of_an_index_is_its_host_and_port(one: str, other: str, same: bool) -> None:
    assert is_same_server(origin_of(one), origin_of(other)) is same


def test_where_every_index_is_for_others_nothing_is_asked(ours: FakeIndex) -> None:
    indexes = [Index(ours.url, projects=("ours-*",))]
    with Upstream(indexes) as upstream, pytest.raises(UpstreamError, match="no index may serve it") as absent:
        upstream.page("other", None)
    assert absent.value.status == 404
    assert ours.log == []


def test_messages_call_an_index_by_its_name_or_by_its_url_without_credentials(
    ours: FakeIndex, public: FakeIndex
) -> None:
    indexes = [Index(ours.url_with("me", "hunter2")), Index(public.url, name="public")]
    with Upstream(indexes) as upstream, pytest.raises(UpstreamError) as absent:
        upstream.page("typo", None)
    assert f"found that {ours.url} and public have no such project" in str(absent.value)
    assert "hunter2" not in str(absent.value)


# --- The user changes mirror.yaml


@pytest.mark.parametrize("pattern", ["ours-*", None])
def test_a_project_that_vanished_from_its_index_is_not_taken_from_another(
    ours: FakeIndex, public: FakeIndex, pattern: str | None
) -> None:
    indexes = [Index(ours.url, projects=pattern and (pattern,)), Index(public.url)]  # type: ignore[arg-type]
    with Upstream(indexes) as upstream:
        seen = versions(upstream, "ours-core")[1]
        del ours.projects["ours-core"]
        with pytest.raises(UpstreamError, match="as when it was last seen") as vanished:
            upstream.page("ours-core", seen)
    assert vanished.value.status == 404
    assert public.log == []


def test_a_project_that_the_user_binds_to_another_index_moves(ours: FakeIndex, public: FakeIndex) -> None:
    with Upstream([public.url, ours.url]) as upstream:
        found, seen = versions(upstream, "ours-core")
    assert found == ["99.0"]
    del public.projects["ours-core"]
    with Upstream([Index(public.url), Index(ours.url, projects=("ours-*",))]) as upstream:
        found, moved = versions(upstream, "ours-core", seen)
        assert found == ["1.0"]
        assert moved.index == ours.url
        assert upstream.page("ours-core", moved) is None


def test_a_project_moved_to_an_index_that_lacks_it_is_told_with_where_it_was(
    ours: FakeIndex, public: FakeIndex
) -> None:
    with Upstream([public.url]) as upstream:
        seen = versions(upstream, "other")[1]
    with (
        Upstream([Index(public.url), Index(ours.url, projects=("other",))]) as upstream,
        pytest.raises(UpstreamError, match=f"last seen in {public.url}, which may not serve it any more") as absent,
    ):
        upstream.page("other", seen)
    assert absent.value.status == 404


def test_a_mirror_follows_a_project_that_mirror_yaml_binds_elsewhere_whatever_refresh_says(
    tmp_path: Path, ours: FakeIndex, public: FakeIndex
) -> None:
    project = mirror_folder(tmp_path, None)
    both = [public.url, {"url": ours.url, "name": "private"}]
    project.configure(both, requirements=["ours-core"], refresh="7d")
    project.mirrored()
    assert packages(project.output) == {"ours-core": ["ours_core-99.0-py3-none-any.whl"]}
    both = [public.url, {"url": ours.url, "name": "private", "projects": ["ours-*"]}]
    project.configure(both, requirements=["ours-core"], refresh="7d")
    done = project.mirrored()
    assert "whole and checked" in done.stdout
    page = (project.output / "simple" / "ours-core" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"ours_core-[0-9.]+-py3", page) == 2 * ["ours_core-1.0-py3"]


def test_a_run_says_what_bound_a_project_that_is_not_there(tmp_path: Path, ours: FakeIndex, public: FakeIndex) -> None:
    public.add("ours-typo", *wheel("ours-typo", "1.0"))
    project = mirror_folder(tmp_path, None)
    entries = [{"url": ours.url, "name": "vault-7", "projects": ["ours-*"]}, public.url]
    project.configure(entries, requirements=["ours-typo", "ours-core"])
    done = project.doit("mirror")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "ours-typo: vault-7 has no such project, and ours-* under its projects binds it to that index alone" in said
    explained = project.doit("explain", "ours-typo").stdout
    assert "but the index that ours-* binds it to has no project of this name" in explained
    assert public.requests["/simple/ours-typo/"] == 0
    published = b"".join(path.read_bytes() for path in project.output.rglob("*") if path.is_file())
    assert b"vault-7" not in published  # an index may be secret
