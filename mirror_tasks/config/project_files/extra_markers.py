"""What core metadata requires, apart by extras: ``tls; extra == "secure" and python_version < "3.9"``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.markers import Comparison, Token, extras_of, tokens

_NONE = canonicalize_name("")


def by_extra(lines: Iterable[Requirement], extras: Iterable[str]) -> Mapping[NormalizedName, Sequence[Requirement]]:
    """Return what is required without an extra, by the empty name, and what each extra brings besides.

    :param extras: those that there are; of others nothing can be asked for.
    """
    found: dict[NormalizedName, list[Requirement]] = {_NONE: [], **{canonicalize_name(one): [] for one in extras}}
    for line in lines:
        always = with_extra(line, _NONE)
        if always is not None:
            found[_NONE].append(always)
        for extra in map(canonicalize_name, extras_of(str(line.marker)) if line.marker else ()):
            brought = with_extra(line, extra)
            if extra in found and brought is not None and brought != always:
                found[extra].append(brought)
    return found


def with_extra(line: Requirement, extra: str) -> Requirement | None:
    """Return a requirement as it is where one extra is asked for; None where it is none then.

    :param extra: its normalised name; empty where none is asked for.
    """
    rest = _any_of(list(reversed(tokens(str(line.marker)))), extra) if line.marker else True
    if rest is False:
        return None
    result = copy(line)
    result.marker = None if rest is True else Marker(rest)
    return result


# Each returns what is left of an expression: True or False where the extra alone decides it, else its text.


def _any_of(rest: list[Token], extra: str) -> bool | str:
    found = [_all_of(rest, extra)]
    while rest and rest[-1] == "or":
        rest.pop()
        found.append(_all_of(rest, extra))
    return _joined(found, "or", decides=True)


def _all_of(rest: list[Token], extra: str) -> bool | str:
    found = [_operand(rest, extra)]
    while rest and rest[-1] == "and":
        rest.pop()
        found.append(_operand(rest, extra))
    return _joined(found, "and", decides=False)


def _joined(found: Sequence[bool | str], word: str, *, decides: bool) -> bool | str:
    """Join what is left of several expressions; one that is ``decides`` decides them all."""
    texts = [one for one in found if isinstance(one, str)]
    if decides in found or not texts:
        return decides if decides in found else not decides
    return texts[0] if len(texts) == 1 else f"({f' {word} '.join(texts)})"


def _operand(rest: list[Token], extra: str) -> bool | str:
    token = rest.pop()
    if isinstance(token, Comparison):
        return _decided(token, extra) if token.variable == "extra" else _text(token)
    found = _any_of(rest, extra)
    rest.pop()  # the closing parenthesis
    return found


def _decided(comparison: Comparison, extra: str) -> bool:
    if comparison.operator in ("==", "==="):
        return canonicalize_name(comparison.text) == extra
    return comparison.operator == "!=" and canonicalize_name(comparison.text) != extra


def _text(comparison: Comparison) -> str:
    quoted = f"'{comparison.text}'" if '"' in comparison.text else f'"{comparison.text}"'
    sides = (comparison.variable, quoted)
    left, right = reversed(sides) if comparison.reversed else sides
    return f"{left} {comparison.operator} {right}"
