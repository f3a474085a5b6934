"""Requirements that name a commit of a git repository: ``tool @ git+https://git.example.com/tool@4f1c…#subdirectory=lib``.

What stands in such a URL reaches the command line of git. So each part is read by what it may be, not by what it may not.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.variables import expand
from mirror_tasks.text import without_credentials

SCHEMES = ("https", "ssh", "http", "file")
"""The protocols that git may use for a repository, and no other in between."""

BUILD = "building it runs its code on this machine, so say that you want that: {{require: {!r}, build: true}}"
_EXPECTED = "expected git+https://HOST/PATH@COMMIT (or ssh, http, file:///)"
_is_host = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]").fullmatch
_is_user = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*").fullmatch
_is_path = re.compile(r"(?:/[A-Za-z0-9_.~%+,=@()-]+)+/?").fullmatch
_is_ref = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+/-]*[A-Za-z0-9_+-])?").fullmatch
_is_folder = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*").fullmatch
is_commit = re.compile("[0-9a-f]{40}|[0-9a-f]{64}").fullmatch


@dataclass(frozen=True, slots=True)
class GitSource:
    """A commit of a repository.

    :param url: without ``git+``. Never shown: it may carry credentials.
    :param ref: a commit, branch or tag; empty for the branch that the repository itself prefers.
    :param subdirectory: the folder of the project in it, with slashes; empty for the whole.
    """

    url: str = field(repr=False)
    ref: str = ""
    subdirectory: str = ""

    @property
    def shown(self) -> str:
        """The source as it may be shown and stored."""
        at = f"@{self.ref}" if self.ref else ""
        return f"{without_credentials(self.url)}{at}{f'#subdirectory={self.subdirectory}' if self.subdirectory else ''}"


@dataclass(frozen=True, slots=True)
class GitRequirement:
    """What a requirement of a repository becomes: one of its project, whatever version the build will have."""

    requirement: Requirement
    source: GitSource

    @property
    def project(self) -> NormalizedName:
        """The normalised name."""
        return canonicalize_name(self.requirement.name)

    @property
    def name(self) -> str:
        """How it is told: without the URL, which may be nobody else's business where the mirror goes."""
        extras = f"[{','.join(sorted(self.requirement.extras))}]" if self.requirement.extras else ""
        ref = self.source.ref[:12] if is_commit(self.source.ref) else self.source.ref
        return f"{self.requirement.name}{extras} from git {ref}".rstrip()


def is_git(requirement: Requirement) -> bool:
    """Say if a requirement names a repository."""
    return str(requirement.url or "").startswith("git+")


def read_git(requirement: Requirement) -> GitRequirement:
    """Return what a requirement of a repository becomes, with the values of the variables in its credentials.

    :raises ValueError: it can't be used; the message shows no credentials.
    """
    url, _, fragment = str(requirement.url).removeprefix("git+").partition("#")
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    path, _, ref = path.rpartition("@") if "@" in path else (path, "", "")
    _check_place(scheme, authority, f"{slash}{path}")
    if "@" in url.rpartition("/")[2] and not ref:
        raise ValueError("expected a commit, branch or tag behind the @, found nothing")
    if ref and (not _is_ref(ref) or ".." in ref or "//" in ref or ref.endswith(".lock")):
        raise ValueError(f"expected a commit, branch or tag behind the @, found {ref!a:.80}")
    exact = copy(requirement)
    exact.url = None
    source = GitSource(f"{scheme}://{_expanded(authority)}/{path}", ref, _subdirectory(fragment))
    return GitRequirement(exact, source)


def _check_place(scheme: str, authority: str, path: str) -> None:
    """Look if git can be given a URL of these parts.

    :raises ValueError: it can't.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"{_EXPECTED}, found one with {scheme[:40] or 'no scheme'!a}")
    credentials, at, host = authority.rpartition("@")
    name, colon, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    if scheme == "file":
        if authority:
            raise ValueError(f"{_EXPECTED}, found a host in a file URL; it begins with file:///")
    elif not _is_host(name) or (colon and not re.fullmatch("[0-9]{1,5}", port)):
        raise ValueError(f"{_EXPECTED}, found a host that is none")
    if scheme == "ssh" and at and not _is_user(credentials):
        raise ValueError("expected a user name alone before the @ of an ssh URL; keys come from ssh itself")
    if not _is_path(path) or "/../" in f"{path}/":
        raise ValueError(
            f"{_EXPECTED}, found a path with other characters than letters, digits and / _ . ~ % + - , = ( )"
        )
    urlsplit(f"{scheme}://{host}{path}")


def _expanded(authority: str) -> str:
    credentials, at, host = authority.rpartition("@")
    return f"{expand(credentials + at)}{host}"


def _subdirectory(fragment: str) -> str:
    found = ""
    for part in filter(None, fragment.split("&")):
        key, _, value = part.partition("=")
        if key == "egg":  # says the name once more, as old lines do
            continue
        if key != "subdirectory" or not _is_folder(value) or found:
            raise ValueError(f"expected #subdirectory=FOLDER at most behind its URL, found #{part!a:.80}")
        found = value
    return found
