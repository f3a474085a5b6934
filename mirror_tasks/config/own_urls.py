"""Requirements that name the URL of a wheel or sdist: ``ours @ https://files.example.com/ours-1.2-py3-none-any.whl#sha256=…``.

Inside, the file is served by the mirror's index like any other. So what is required is its very release, as its name says
it, with the extras and the marker of the requirement.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mirror_tasks.config.own_folders import Distribution, distribution_of
from mirror_tasks.config.own_sources import OwnFile
from mirror_tasks.config.variables import expand
from mirror_tasks.text import with_extras

_GIVE = "expected NAME @ URL with the URL of a wheel or sdist"


@dataclass(frozen=True, slots=True)
class UrlRequirement:
    """What a requirement by URL becomes.

    :param requirement: of the very release, without the URL.
    """

    requirement: Requirement
    file: OwnFile

    @property
    def name(self) -> str:
        """How it is told: without the URL, which may be nobody else's business where the mirror goes."""
        return f"{with_extras(self.requirement.name, self.requirement.extras)} from {self.file.filename}"


def read_url(requirement: Requirement) -> UrlRequirement:
    """Return what a requirement by URL becomes, with the values of the variables in its credentials.

    :raises ValueError: no index can serve it, or its URL can't be used; the message shows no credentials.
    """
    url, _, fragment = str(requirement.url).partition("#")
    sha256 = _sha256_in(fragment)
    _check_place(url)
    found = _distribution(url, requirement.name)
    exact = copy(requirement)
    exact.url, exact.specifier = None, SpecifierSet(f"=={found.version}")
    return UrlRequirement(exact, OwnFile(found.filename, _with_values(url), sha256))


def with_hashes(one: UrlRequirement, hashes: frozenset[str]) -> UrlRequirement:
    """Return a requirement with the hashes that its line gives beside the URL.

    :raises ValueError: the URL gives another one.
    """
    if hashes and one.file.sha256 not in (None, *hashes):
        raise ValueError("its URL and its --hash give different hashes; keep the right one")
    if len(hashes) != 1:
        return one
    return replace(one, file=replace(one.file, sha256=next(iter(hashes))))


def _sha256_in(fragment: str) -> str | None:
    """Return the hash that a URL gives of its file; other algorithms are refused, as they would not be checked."""
    found = set()
    for part in filter(None, fragment.split("&")):
        key, _, value = part.partition("=")
        if key == "egg":  # says the name once more, as old lines do
            continue
        if key != "sha256" or not re.fullmatch("[0-9a-fA-F]{64}", value):
            raise ValueError(f"expected #sha256= and 64 digits behind its URL, found #{part:.80}")
        found.add(value.lower())
    if len(found) > 1:
        raise ValueError("expected one #sha256= behind its URL, found several")
    return next(iter(found), None)


def _check_place(url: str) -> None:
    """Look if a URL can be asked for.

    :raises ValueError: it can't.
    """
    try:
        parts = urlsplit(url)
        port = parts.port  # raises for one that is no number, as where a password has a slash that is not encoded
    except ValueError:
        raise ValueError(f"{_GIVE}, found something that is none") from None
    if parts.scheme in ("http", "https") and parts.hostname and port != 0:
        return
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return
    raise ValueError(f"{_GIVE} (https, http or file:///), found one with {parts.scheme or 'no scheme'}:")


def name_in_url(url: str) -> str:
    """Return the name of the file that a URL is of, as installers read it: the last part of its path, decoded.

    :raises ValueError: it is no URL.
    """
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _distribution(url: str, name: str) -> Distribution:
    filename = name_in_url(url)
    try:
        found = distribution_of(filename)
    except ValueError as error:
        what = f"the last part of its URL, {filename!a:.100}, {error}"
        raise ValueError(f"{what}; fetch it into a folder under its right name, and name that (wheels:)") from None
    if found.project != canonicalize_name(name):
        raise ValueError(f"expected a file of {canonicalize_name(name)}, found one of {found.project}: {filename}")
    return found


def _with_values(url: str) -> str:
    """Return a URL with the values of the variables before its ``@``; elsewhere they would be shown.

    :raises ValueError: one is not set, or stands elsewhere.
    """
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, host = authority.rpartition("@")
    if "${" in f"{host}{slash}{path}":
        raise ValueError("${…} may stand before the @ of its host only: what stands elsewhere is shown")
    return f"{scheme}://{expand(credentials + at)}{host}{slash}{path}"
