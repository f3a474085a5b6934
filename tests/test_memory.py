"""What thousands say alike is in memory once: a large plan has a thousand projects, and three thousand files of metadata."""

from __future__ import annotations

import pickle

from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from mirror_tasks.archives.core_metadata import CoreMetadata, parse_metadata
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.needs import need_in
from mirror_tasks.resolve.selection import Rules


def requirement(text: str) -> Requirement:
    """Return a parsed requirement."""
    found = parse_requirement(text)
    assert found is not None
    return found


def test_requirements_that_say_the_same_have_one_specifier_one_marker_and_one_lack_of_extras() -> None:
    one = requirement('foo >= 1.0, < 2 ; extra == "docs"')
    other = requirement("bar<2,>=1.0; extra == 'docs'")
    assert one.specifier is other.specifier
    assert one.marker is not None
    assert one.marker is other.marker
    assert one.extras is other.extras
    assert requirement("foo[a]").extras == {"a"}


def test_what_a_requirement_says_is_what_it_says_alone() -> None:
    for text in (
        "foo==1.0",
        "foo==1.0.0",
        "foo[b,a]~=1.0; python_version < '3'",
        "foo @ https://index.example.com/f.whl",
        "foo",
    ):
        assert str(requirement(text)) == str(Requirement(text))


def test_needs_of_one_project_have_one_name() -> None:
    one, other = need_in("Foo_Bar>=1"), need_in("Foo_Bar<1; extra == 'old'")
    assert one is not None
    assert other is not None
    assert one[1].name is other[1].name
    assert one[1].name == "foo-bar"


def test_metadata_that_comes_from_another_process_shares_the_lines_that_others_have() -> None:
    closure = Closure([], [], Rules())
    for version in ("1.0", "2.0"):
        closure.metadata_arrived(NormalizedName("foo"), version, metadata(version))
    first, second = closure.metadata.values()
    assert isinstance(first, CoreMetadata)
    assert isinstance(second, CoreMetadata)
    assert first.requires_dist == ("bar>=1; extra == 'docs'",)
    assert first.provides_extra == ("docs",)
    assert first.requires_dist[0] is second.requires_dist[0]
    assert first.provides_extra[0] is second.provides_extra[0]
    assert (first.version, second.version) == ("1.0", "2.0")


def metadata(version: str) -> CoreMetadata:
    """Return metadata as it arrives: its text is nobody else's."""
    lines = ("Metadata-Version: 2.1", "Name: foo", f"Version: {version}", "Requires-Dist: bar>=1; extra == 'docs'")
    content = "\n".join((*lines, "Provides-Extra: docs", "", "")).encode()
    found = pickle.loads(pickle.dumps(parse_metadata(content, f"foo-{version}-py3-none-any.whl")))
    assert isinstance(found, CoreMetadata)
    return found
