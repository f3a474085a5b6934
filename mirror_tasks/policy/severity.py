"""How severe a hole is: by its CVSS vectors, else by the database's own word, else it counts as high."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mirror_tasks.config.policy import SEVERITIES, SeverityName
from mirror_tasks.policy.osv import Said

_WORDS: dict[str, SeverityName] = {
    "low": "low",
    "none": "low",
    "minor": "low",
    "moderate": "moderate",
    "medium": "moderate",
    "high": "high",
    "important": "high",
    "critical": "critical",
}


class Severity(NamedTuple):
    """How severe something is.

    :param whence: what says so, such as ``CVSS 3.1: 7.5``.
    """

    name: SeverityName
    whence: str


UNKNOWN = Severity("high", "no severity is given: counts as high")


def severity_of(said: Said) -> Severity | None:
    """Return the severity that a record says, None where it says none that can be read.

    Of several vectors the worst counts: one hole may be scored by several people, by several versions of CVSS.
    """
    scored = [found for vector in said.vectors if (found := _scored(vector))]
    if scored:
        return worst(scored)
    word = _WORDS.get(said.word.strip().casefold())
    return None if word is None else Severity(word, f"the database's word: {said.word.strip()}")


def worst(found: list[Severity]) -> Severity:
    """Return the worst of some, the first of equals."""
    return max(found, key=lambda one: SEVERITIES.index(one.name))


@lru_cache(maxsize=1 << 12)
def _scored(vector: str) -> Severity | None:
    """Return what a vector comes to; None where it is no vector of CVSS."""
    # Only now: most mirrors judge by no vector.
    from cvss import CVSS2, CVSS3, CVSS4
    from cvss.exceptions import CVSSError

    version, _, _ = vector.removeprefix("CVSS:").partition("/")
    try:
        if vector.startswith("CVSS:4"):
            four = CVSS4(vector)
            score, word = float(four.base_score), str(four.severity)
        elif vector.startswith("CVSS:3"):
            three = CVSS3(vector)
            score, word = float(three.scores()[0]), str(three.severities()[0])
        else:
            version, two = "2.0", CVSS2(vector)
            score, word = float(two.scores()[0]), str(two.severities()[0])
    except (CVSSError, ArithmeticError, ValueError, LookupError, TypeError):
        return None
    return Severity(_WORDS[word.casefold()], f"CVSS {version}: {score}")
