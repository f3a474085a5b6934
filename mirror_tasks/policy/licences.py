"""Which licence a project has by what it says of itself, and whether the policy allows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.config.blocks import show
from mirror_tasks.config.policy import LicenceRule
from mirror_tasks.config.spdx import spdx_expression
from mirror_tasks.policy.licence_expressions import are_equal, licences_in, not_allowed
from mirror_tasks.policy.licence_names import Reading, reading_of_classifier, reading_of_name

EXPRESSION, NAME, CLASSIFIERS = "License-Expression", "License", "classifiers"
"""The sources, in the order in which they are asked."""

CONTRADICTION = "sources contradict each other"
"""How the problem begins of a licence that is unknown for that."""

_LONGEST = 200  # characters of an expression in a reason


@dataclass(frozen=True, slots=True)
class Licence:
    """What is known of the licence of a wheel or an sdist.

    :param expression: an SPDX expression; None where it is unknown.
    :param source: whence it is: one of the sources above; empty where it is unknown.
    :param said: each field that says something, and what, as written: ``License-Expression``, ``License``, ``Classifier``,
        ``License-File``. Foreign text: to be escaped where it is shown.
    :param problem: why it is unknown, as a phrase; empty where it is known.
    """

    expression: str | None
    source: str
    said: tuple[tuple[str, str], ...]
    problem: str


def licence_of(metadata: CoreMetadata) -> Licence:
    """Return the licence by the first source that names one, if no other one contradicts it."""
    return _licence(metadata.licensing)


def unread_licence(reason: str) -> Licence:
    """Return the licence of a file of which nobody knows what it says of itself.

    :param reason: why it can't be read; empty where nobody has read it.
    """
    problem = f"what it says of itself can't be read: {reason}" if reason else "nobody has read what it says of itself"
    return Licence(None, "", (), problem)


def differing(licence: Licence, other: Licence, filename: str) -> Licence:
    """Return the licence of a release of which two files do not say the same one.

    :param filename: of the file that says the other one.
    """
    says, found = (one.expression or "nothing that is known" for one in (other, licence))
    said = tuple(dict.fromkeys((*licence.said, *other.said)))
    return Licence(None, "", said, f"its files say different ones: {filename} says {says}, another {found}")


@lru_cache(maxsize=4096)
def _licence(fields: LicenceFields) -> Licence:
    said = tuple(_said(fields))
    expression, source = _named(fields)
    problem = _contradiction(expression, source, fields) if expression else _nothing_named(fields)
    return Licence(None, "", said, problem) if problem else Licence(expression, source, said, "")


def _said(fields: LicenceFields) -> Iterator[tuple[str, str]]:
    if fields.expression:
        yield "License-Expression", fields.expression
    if fields.name:
        yield "License", f"{fields.name} …" if fields.is_text else fields.name
    yield from (("Classifier", one) for one in fields.classifiers)
    yield from (("License-File", one) for one in fields.files)


def _named(fields: LicenceFields) -> tuple[str | None, str]:
    """Return the expression that the first source names, and the source.

    An expression that can't be read is not passed over for an older field: it is what the project means to say.
    """
    if fields.expression:
        return spdx_expression(fields.expression), EXPRESSION
    if found := _one(_reading_of_license(fields)):
        return found, NAME
    return _one(_reading_of_classifiers(fields)), CLASSIFIERS


def _one(reading: Reading) -> str | None:
    return reading[0] if len(reading) == 1 and "*" not in reading[0] else None


def _reading_of_license(fields: LicenceFields) -> Reading:
    if not fields.name or fields.is_text:
        return ()
    expression = spdx_expression(fields.name)
    return (expression,) if expression else reading_of_name(fields.name)


def _naming(fields: LicenceFields) -> dict[str, Reading]:
    """Return the classifiers that name licences, with what they may mean."""
    found = ((one, reading_of_classifier(one)) for one in fields.classifiers)
    return {one: reading for one, reading in found if reading is not None}


def _reading_of_classifiers(fields: LicenceFields) -> Reading:
    """Return what a single classifier may mean. Several don't say whether all hold or one may be chosen (PEP 639)."""
    readings = [*_naming(fields).values()]
    return readings[0] if len(readings) == 1 else ()


# What stands against it


def _contradiction(expression: str, source: str, fields: LicenceFields) -> str:
    """Return which source names a licence that is not in an expression, as a phrase; empty where none does."""
    begun = f"{CONTRADICTION}: {'a classifier' if source == CLASSIFIERS else source} says {show(expression)}"
    license_says = _reading_of_license(fields)
    if license_says and not _agrees(expression, license_says):
        return f"{begun}, License {show(fields.name)}"
    for classifier, reading in _naming(fields).items():
        if not any(_meets(licence, reading) for licence in licences_in(expression)):
            return f"{begun}, a classifier {show(_short(classifier))}"
    return ""


def _agrees(expression: str, reading: Reading) -> bool:
    """Say if License means an expression: it says all there is, so where it says which licence, that is the whole one."""
    if other := _one(reading):
        return are_equal(other, expression)
    return any(_meets(licence, reading) for licence in licences_in(expression))


def _meets(licence: str, reading: Reading) -> bool:
    """Say if a licence is one of those that a name may mean; names say nothing of exceptions."""
    plain = licence.partition(" WITH ")[0]
    return any(fnmatchcase(plain, pattern) for pattern in reading)


def _nothing_named(fields: LicenceFields) -> str:
    """Return why no source names a licence, as a phrase."""
    if fields.expression:
        return f"License-Expression is no SPDX expression: {show(fields.expression)}"
    reasons = [reason for reason in (_why_not_license(fields), _why_not_classifiers(fields)) if reason]
    return "; ".join(reasons) or "nothing says which it is"


def _why_not_license(fields: LicenceFields) -> str:
    if not fields.name:
        return ""
    if fields.is_text:
        return f"License is a text that begins with {show(fields.name)}"
    meant = _reading_of_license(fields)
    return f"License says {show(fields.name)}, {_which(meant) or 'which is neither SPDX nor a known name'}"


def _why_not_classifiers(fields: LicenceFields) -> str:
    naming = _naming(fields)
    names = [show(_short(one)) for one in naming]
    if not names:
        return ""
    if len(names) > 1:
        return (
            f"classifiers say {', '.join(names[:3])}{', …' if names[3:] else ''}, and not whether one of them is enough"
        )
    meant = _reading_of_classifiers(fields)
    if meant and meant == _reading_of_license(fields):  # of which it is said
        return ""
    return f"a classifier says {names[0]}, {_which(meant) or 'which names none'}"


def _which(meant: Reading) -> str:
    return f"which may be any of {', '.join(meant)}" if meant else ""


def _short(classifier: str) -> str:
    return classifier.rpartition(" :: ")[2]


# Whether it is allowed


def check_licence(licence: Licence, rule: LicenceRule) -> str | None:
    """Refuse a licence that is not allowed, or that is unknown.

    Of ``OR`` one side has to be allowed, of ``AND`` both; a licence ``WITH`` an exception is allowed as a whole.
    """
    if licence.expression is None:
        return f"licence unknown: {licence.problem}" if rule.unknown == "refuse" else None
    if rule.allow is None:
        return None
    lacking = not_allowed(licence.expression, rule.allow)
    if not lacking:
        return None
    if lacking == (licence.expression,):
        return f"licence {licence.expression} is not allowed"
    return f"licence {_brief(licence.expression)} is not allowed, for want of {_brief(' and '.join(lacking))}"


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
