"""Requirements files, in pip's format: comments, continued lines, ``-r``, ``-c``, ``--hash`` and ``${VARIABLES}``.

What would fetch from elsewhere or install in another way than a mirror serves is refused, by line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mirror_tasks.config.blocks import show
from mirror_tasks.config.file_kinds import decoded, kind_by_bytes, kind_by_name, kind_by_text
from mirror_tasks.config.long_numbers import TOO_LONG, has_long_number
from mirror_tasks.config.model import RequestedRequirement
from mirror_tasks.config.own_git import BUILD, GitRequirement, is_git, read_git
from mirror_tasks.config.own_urls import UrlRequirement, read_url, with_hashes
from mirror_tasks.config.variables import expand_as_pip
from mirror_tasks.errors import Fault
from mirror_tasks.text import redact

_MANY = 10  # lines of which not one is right are one fault: it is another kind of file
_LARGEST = 16 << 20  # bytes; a lock of ten thousand releases with all their hashes stays below


@dataclass(slots=True)
class RequirementLines:
    """What a requirements file and those it names hold; ``seen`` ends circles.

    :ivar places: those of the constraints, one for each.
    :ivar hashed: the constraints that have hashes; they are among ``constraints``, too.
    :ivar own: the requirements that name a URL, each with its place; they are among ``requirements``, too.
    """

    requirements: list[RequestedRequirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    hashed: list[RequestedRequirement] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: set[tuple[Path, bool]] = field(default_factory=set)
    own: list[tuple[str, UrlRequirement]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RequestedText:
    """What a requirement is, as it was written: of a project, and from which URL or repository, where it names one."""

    requirement: Requirement
    by_url: UrlRequirement | None = None
    git: GitRequirement | None = None


def read_requirement(text: str) -> RequestedText:
    """Return what a requirement asks for, which may name the URL of a file. Variables in it are expanded as pip does.

    :raises ValueError: it is none, or asks for what no index can serve; the message says what to do.
    """
    if has_long_number(text):
        raise ValueError(f"{show(text)} {TOO_LONG}")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        requirement = None
    if requirement is None or not requirement.url:
        return RequestedText(parse_requirement(expand_as_pip(text), text))
    try:
        if is_git(requirement):
            repository = read_git(requirement)
            return RequestedText(repository.requirement, git=repository)
        found = read_url(requirement)
    except ValueError as error:
        raise ValueError(f"{show(text)}: {error}") from None
    return RequestedText(found.requirement, found)


def parse_requirement(text: str, written: str | None = None) -> Requirement:
    """Return the requirement that ``text`` is.

    :param written: what to show in messages, where ``text`` has values of environment variables in it.
    :raises ValueError: it is none, or names a URL or file, which has no place here; the message says what to do.
    """
    shown = show(written or text)
    if has_long_number(text):
        raise ValueError(f"{shown} {TOO_LONG}")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        if "://" in text or _names_a_file(text):
            raise ValueError(f"expected a project's name, found a file or URL {shown}; {_NO_URL}") from None
        if kind := _kind_of(text):
            raise ValueError(f"expected a project's name, found {shown}, {kind}") from None
        reason = redact(str(error).splitlines()[0])
        raise ValueError(f"expected a requirement such as requests>=2.24, found {shown}: {reason}") from None
    if requirement.url or _names_a_file(requirement.name):
        raise ValueError(f"{shown} asks for a file or URL; {_NO_URL}")
    if requirement.name == text and (kind := _kind_of(text)):  # anyone may have published a project of this name
        project = canonicalize_name(text)
        raise ValueError(f"expected a project's name, found {shown}, {kind}; the project, if you mean it, is {project}")
    return requirement


_NO_URL = "name the project, as in NAME @ URL, or the folder that the file lies in (wheels:)"


_ENDINGS = (
    ".whl",
    ".zip",
    ".tgz",
    ".tbz",
    ".txz",
    ".tlz",
    *(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "lzma", "lz")),
)


def _kind_of(text: str) -> str | None:
    """Say by the last part of a path what it names, and what to do instead; None if it may be a project."""
    if text.endswith(".txt"):
        return "a file of requirements; list it as {file: PATH}, or in such a file with -r"
    return kind_by_name(PurePosixPath(text).name)


def _names_a_file(text: str) -> bool:
    return text.startswith((".", "/")) or text.lower().endswith(_ENDINGS)


def read_requirements(path: Path, shown: str, base: Path) -> RequirementLines:
    """Read a requirements file and those it names.

    :param shown: the file's name as the user wrote it, for messages.
    :param base: the folder that names of further files are shown relative to.
    """
    lines = RequirementLines()
    _File(Path(os.path.normpath(path)), shown, base, lines, as_constraints=False).read()
    lines.faults.extend(_without_a_common_hash(lines))
    return lines


def _without_a_common_hash(lines: RequirementLines) -> Iterator[Fault]:
    """Yield a fault for each constraint that allows none of the files which a line on the same project allows.

    pip takes what both allow, which is nothing then. Lines with markers may never meet.
    """
    required = [one for one in lines.requirements if one.hashes and one.requirement.marker is None]
    for constraint in (one for one in lines.hashed if one.requirement.marker is None):
        name = canonicalize_name(constraint.requirement.name)
        for line in (one for one in required if canonicalize_name(one.requirement.name) == name):
            if line.hashes.isdisjoint(constraint.hashes):
                problem = f"no hash of {name} here is among those at {line.where}, so that no file may be taken; give the same"
                yield Fault(constraint.where, problem)


def read_constraints(path: Path, shown: str, base: Path) -> RequirementLines:
    """Read a file of constraints, and those it names, all of which hold constraints, too; as :func:`read_requirements` does."""
    lines = RequirementLines()
    _File(Path(os.path.normpath(path)), shown, base, lines, as_constraints=True).read()
    return lines


def read_text(path: Path, largest: int, *, as_requirements: bool = False) -> str:
    """Return the text of a file.

    :param as_requirements: it is to be a requirements file: a coding line counts, and what it is otherwise is told.
    :raises ValueError: it can't be read, is too large (in bytes) or no text; the message says which.
    """
    if as_requirements and path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    try:
        with path.open("rb") as stream:
            content = stream.read(largest + 1)
    except FileNotFoundError:
        raise ValueError(f"no such file: {path}") from None
    except OSError as error:
        raise ValueError(f"can't read {path}: {error.strerror}") from None
    if as_requirements and (kind := kind_by_name(path.name) or kind_by_bytes(content)):
        raise ValueError(_is_of_another_kind(path, kind))
    if len(content) > largest:
        raise ValueError(f"{path} is larger than {largest} bytes")
    try:
        return decoded(content, coding_lines=as_requirements)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def _is_of_another_kind(path: Path, kind: str) -> str:
    return f"expected a requirements file; {path} is {kind}"


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that says something with its number: continued lines joined, comments gone.

    As in pip a comment begins at the line's start or after white space, and a comment line ends a continued one.
    """
    first, parts = 0, [""]
    for number, line in enumerate(text.splitlines(), 1):
        first = first if len(parts) > 1 else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line[:-1])
            continue
        joined, parts = "".join([*parts, " " if line.lstrip().startswith("#") else "", line]), [""]
        if content := re.sub(r"(^|\s)#.*$", "", joined).strip():
            yield first, content
    if content := "".join(parts).strip():
        yield first, content


_ELSEWHERE = "say it in mirror.yaml (`index:`), for the whole mirror"
_REFUSED = {
    "-e": "editable projects are not on an index; name the project, or leave the line out",
    "-i": _ELSEWHERE,
    "--extra-index-url": f"{_ELSEWHERE}; with a list the first index that has a project serves it",
    "--no-index": _ELSEWHERE,
    "-f": _ELSEWHERE,
    "--trusted-host": "this project checks certificates; point REQUESTS_CA_BUNDLE to your authority's",
    "--pre": "say `prereleases: true` in mirror.yaml",
    "--prefer-binary": "say `prefer-binary: true` in mirror.yaml",
    "--no-binary": "say `wheels: none` in mirror.yaml",
    "--only-binary": "say `sdists: never` in mirror.yaml",
    "--require-hashes": "hashes that are given are always checked; leave the line out",
}
_LONG = {"--editable": "-e", "--index-url": "-i", "--pypi-url": "-i", "--find-links": "-f"}
_LONG |= {"--requirement": "-r", "--constraint": "-c"}


class _File:
    """One requirements or constraints file."""

    def __init__(self, path: Path, shown: str, base: Path, lines: RequirementLines, *, as_constraints: bool) -> None:
        self.path = path
        self.shown = shown
        self.base = base
        self.lines = lines
        self.as_constraints = as_constraints

    def read(self, asked_at: str = "") -> None:
        self.lines.seen.add((self.path, self.as_constraints))
        try:
            text = read_text(self.path, _LARGEST, as_requirements=True)
        except ValueError as error:
            self.lines.faults.append(Fault(asked_at or self.shown, str(error)))
            return
        own, count = [], 0
        for number, line in logical_lines(text):
            count += 1
            where = f"{self.shown}:{number}"
            try:
                self.line(line, where)
            except ValueError as error:
                own.append(Fault(where, str(error)))
                self.lines.faults.append(own[-1])
        if (kind := self.what_it_is_instead(own, count, text)) is not None:
            kept = [fault for fault in self.lines.faults if fault not in own]  # those of files that it names, if any
            self.lines.faults[:] = [*kept, Fault(self.shown, kind)]

    def what_it_is_instead(self, faults: Sequence[Fault], count: int, text: str) -> str | None:
        """Return what to say in the place of all faults of ``count`` lines if the file is something else altogether."""
        if faults and (kind := kind_by_text(text)):
            return _is_of_another_kind(self.path, kind)
        if len(faults) == count > _MANY:
            first = f"the first, line {faults[0].key_path.rpartition(':')[2]}: {faults[0].problem}"
            return f"expected a requirements file, found a requirement in none of {count} lines; {first}"
        return None

    def line(self, line: str, where: str) -> None:
        if line.startswith("-"):
            self.option(line, where)
            return
        text, hashes = _split_hashes(line)
        found = read_requirement(text)
        if not self.as_constraints:
            self.requirement(found, frozenset(hashes), where)
            return
        requirement = found.requirement
        if found.by_url is not None or found.git is not None:
            raise ValueError(f"a constraint can't name a URL here, found {show(text)}; put it among the requirements")
        if requirement.extras:
            raise ValueError(f"a constraint has no extras, found {show(text)}; put them on the requirement")
        self.lines.constraints.append(requirement)
        self.lines.places.append(where)
        if hashes:
            self.lines.hashed.append(
                RequestedRequirement(requirement=requirement, hashes=frozenset(hashes), where=where)
            )

    def requirement(self, found: RequestedText, hashes: frozenset[str], where: str) -> None:
        if found.git is not None:
            raise ValueError(f"{BUILD.format(f'{found.git.requirement} @ git+…')}, in mirror.yaml")
        if found.by_url is not None:
            by_url = with_hashes(found.by_url, hashes)
            self.lines.own.append((where, by_url))
        requested = RequestedRequirement(requirement=found.requirement, hashes=hashes, where=where)
        self.lines.requirements.append(requested)

    def option(self, line: str, where: str) -> None:
        name, value = _split_option(line)
        if name in ("-r", "-c"):
            self.other_file(expand_as_pip(value), where, as_constraints=self.as_constraints or name == "-c")
            return
        advice = _REFUSED.get(name, "leave it out")
        raise ValueError(f"{line.split()[0].split('=')[0]} can't be used here; {advice}")

    def other_file(self, name: str, where: str, *, as_constraints: bool) -> None:
        if not name:
            raise ValueError("expected a file's name after it, found none")
        if "://" in name:
            raise ValueError("expected a file, found a URL; download it and name the copy")
        path = Path(os.path.normpath(self.path.parent / name))
        if (path, as_constraints) in self.lines.seen:
            return
        other = _File(path, relative(path, self.base), self.base, self.lines, as_constraints=as_constraints)
        other.read(where)


def relative(path: Path, base: Path) -> str:
    """Return ``path`` as it is shown to the user: relative to ``base`` where it lies below it."""
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def _split_option(line: str) -> tuple[str, str]:
    word, _, rest = line.partition(" ")
    if word.startswith("--"):
        word, equals, value = word.partition("=")
        rest = value if equals else rest
    elif len(word) > 2:  # pip reads -rfile.txt too
        word, rest = word[:2], word[2:]
    return _LONG.get(word, word), rest.strip().strip("\"'")


def _split_hashes(line: str) -> tuple[str, list[str]]:
    """Return a requirement line's requirement and its SHA-256 digests.

    :raises ValueError: it has another option than ``--hash=sha256:…``.
    """
    text, *options = re.split(r"\s+(?=--?[A-Za-z])", line)
    hashes = []
    for option in options:
        match = re.fullmatch(r"--hash[=\s]\s*[\"']?(\w+):([0-9A-Fa-f]+)[\"']?", option)
        if match is None:
            raise ValueError(f"{option.split('=')[0].split()[0]} can't be used here; only --hash=sha256:… can")
        if match[1] != "sha256" or len(match[2]) != 64:
            raise ValueError(f"expected --hash=sha256: and 64 digits, found {show(option)}")
        hashes.append(match[2].lower())
    return text, hashes
