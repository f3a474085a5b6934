"""What clients asked a mirror for in vain: the list that ``server.py --wanted`` wrote, and what a reviewer decided on it.

The list comes from inside the closed network, where anybody can have anything written into it. So it is read by its
exact form, and only what was accepted is ever asked of an index. Nothing here does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mirror_tasks.config.long_numbers import has_long_number

MOST_BYTES = 32 << 20
"""How large a list may be: ten thousand wishes with all that is told of each."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A line of the list.

    :param requirement: a project, or a release of it (``numpy==1.24.0``).
    :param times: how often it was asked for; 0 where the line does not say.
    :param files: the names of the first few files that were asked for.
    :param clients: the first few that asked, as in ``Python 3.11 on linux-x86_64 (glibc 2.36)``.
    """

    requirement: str
    times: int = 0
    files: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    @property
    def project(self) -> str:
        """The normalised name of the project."""
        return _project_of(self.requirement)


_LINE = re.compile(
    r"([A-Za-z0-9._-]{1,200}(?:==[A-Za-z0-9._+!-]{1,250})?)"
    r"(?:\s+# asked for ([0-9]{1,9}) times?"
    r"(?:; files: ([A-Za-z0-9._+!, -]{1,1600}))?(?:; by: ([A-Za-z0-9 ._,()-]{1,700}))?)?"
)


def read_wishes(text: str) -> tuple[tuple[Wish, ...], tuple[int, ...]]:
    """Return the wishes of a list, and the numbers of the lines that are none."""
    wishes: dict[str, Wish] = {}
    strange: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        wish = _read_wish(line.strip())
        if wish is None:
            strange.append(number)
        else:
            wishes.setdefault(wish.requirement, wish)
    return tuple(wishes.values()), tuple(strange)


def _read_wish(line: str) -> Wish | None:
    match = _LINE.fullmatch(line)
    requirement = canonical(match[1]) if match else None
    if match is None or requirement is None:
        return None
    files, clients = (tuple(text.split(", ")) if text else () for text in (match[3], match[4]))
    return Wish(requirement, int(match[2] or 0), files, clients)


def canonical(text: str) -> str | None:
    """Return a requirement as wishes are written, with the name normalised; None where it is none."""
    if has_long_number(text):
        return None
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    plain = not (requirement.url or requirement.extras or requirement.marker)
    return f"{canonicalize_name(requirement.name)}{requirement.specifier}" if plain else None


def _project_of(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


@dataclass(frozen=True, slots=True)
class Review:
    """What was decided on wishes. A decision on a project (``numpy``) counts for each release that has none of its own.

    :param accepted: requirements that are mirrored.
    :param dropped: requirements and projects that are not, and are not shown again.
    """

    accepted: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()

    def decision(self, wish: Wish) -> str:
        """Return ``accepted``, ``dropped`` or ``new``."""
        if wish.requirement in self.accepted:
            return "accepted"
        return "dropped" if {wish.requirement, wish.project} & self.dropped else "new"

    def accepting(self, wishes: Iterable[Wish], name: str) -> Review:
        """Return the review with the wishes that ``name`` means accepted."""
        meant = frozenset(wish.requirement for wish in meant_by(name, wishes))
        return Review(self.accepted | meant, self.dropped - meant - {name})

    def dropping(self, name: str) -> Review:
        """Return the review with what ``name`` means dropped; of a project all that is wished of it, now and later."""
        if _is_project(name):
            kept = frozenset(one for one in self.accepted if _project_of(one) != name)
        else:
            kept = self.accepted - {name}
        return Review(kept, self.dropped | {name})

    def write(self, of: str) -> str:
        """Return the file of it; ``of`` is the name of the list."""
        head = f"# What was decided on {of} by `doit wanted`: a line for each requirement that is mirrored, then the others.\n"
        accepted = "".join(f"{one}\n" for one in sorted(self.accepted))
        return head + accepted + "".join(f"{_DROPPED}{one}\n" for one in sorted(self.dropped))


_DROPPED = "# dropped: "


def read_review(text: str) -> Review:
    """Read what :meth:`Review.write` wrote, or somebody by hand.

    :raises ValueError: a line is neither a requirement nor a comment; the message begins with its number.
    """
    accepted: set[str] = set()
    dropped: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        said, target = line.strip(), accepted
        if said.startswith(_DROPPED):
            said, target = said.removeprefix(_DROPPED), dropped
        elif said.startswith("#") or not said:
            continue
        requirement = canonical(said.partition(" #")[0].strip())
        if requirement is None:
            raise ValueError(f"{number}: expected a requirement such as numpy==1.24.0, found {said[:100]!r}")
        target.add(requirement)
    return Review(frozenset(accepted), frozenset(dropped))


def meant_by(name: str, wishes: Iterable[Wish]) -> Sequence[Wish]:
    """Return the wishes that a requirement or the name of a project means."""
    return [wish for wish in wishes if name == wish.requirement or name == wish.project]


def _is_project(name: str) -> bool:
    return _project_of(name) == name


def review_path(path: Path) -> Path:
    """Return where the decisions on the list at ``path`` stand."""
    return path.with_name(f"{path.stem}.reviewed{path.suffix}")
