"""A file of YAML as a user writes it: read strictly, so that what it says twice or without end is a fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from mirror_tasks.config.long_numbers import EXPECTED, places_of_long_numbers, said_of
from mirror_tasks.config.requirement_files import read_text
from mirror_tasks.errors import ConfigError, Fault
from mirror_tasks.text import redact

_LARGEST = 1 << 20  # bytes
_MOST_NODES = 1 << 20  # scalars, lists and mappings, with every alias written out


def refusal(path: Path, faults: Iterable[Fault]) -> ConfigError:
    """Return the error of these faults, with no credentials in it wherever they came from."""
    return ConfigError(
        path, [Fault(redact(" ".join(fault.key_path.split())), redact(fault.problem)) for fault in faults]
    )


def read_yaml(path: Path) -> object:
    """Return what the file holds.

    :raises ConfigError: it is not YAML, says a key twice, or its aliases grow without end.
    """
    if not path.exists():
        hint = "write one beside dodo.py, or name another with MIRROR_CONFIG; docs/configuration.md has every key"
        raise refusal(path, [Fault(path.name, f"no such file; {hint}")])
    try:
        found = _parsed(read_text(path, _LARGEST), path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise refusal(
            path, [Fault(path.name, f"{place}not YAML: {error.problem or error.context}{_hint(error)}")]
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        said = said_of(error) if isinstance(error, ValueError) else str(error)
        raise refusal(path, [Fault(path.name, said.splitlines()[0])]) from None
    except RecursionError:
        raise refusal(path, [Fault(path.name, "nested deeper than a configuration can be")]) from None
    if places := list(places_of_long_numbers(found)):
        raise refusal(path, [Fault(place or path.name, EXPECTED) for place in places])
    return found


def _hint(error: yaml.MarkedYAMLError) -> str:
    """Return what to do about what YAML takes for an alias: a pattern of projects such as ``*-nightly``, more often than not."""
    is_alias = "alias" in f"{error.context} {error.problem}"
    return '; what begins with * has to be in quotes, as in "*-nightly"' if is_alias else ""


def _parsed(text: str, path: Path) -> object:
    loader = yaml.SafeLoader(text)
    node = loader.get_single_node()
    if node is None:
        return {}
    faults = list(_twice_said(node, "", set()))
    if _grown_size(node, {}) > _MOST_NODES:
        faults.append(Fault(path.name, "its aliases grow to more than a configuration can be; write it out"))
    if faults:
        raise refusal(path, faults)
    return loader.construct_document(node)


def _twice_said(node: yaml.Node, key_path: str, seen: set[int]) -> Iterator[Fault]:
    """Yield a fault for each key that a mapping has twice: YAML forbids it, PyYAML silently takes the last."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _twice_said(item, f"{key_path}[{index}]", seen)
    elif isinstance(node, yaml.MappingNode):
        keys: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            below = f"{key_path}.{name}" if key_path else name
            line = key.start_mark.line + 1
            if name in keys and name != "?":
                yield Fault(below, f"said twice, on line {keys[name]} and line {line}; keep one")
            keys.setdefault(name, line)
            yield from _twice_said(value, below, seen)


def _grown_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return how many nodes there are with every alias written out; one that contains itself counts as endless."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = _MOST_NODES + 1  # until it is known: met again below itself, it never ends
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_grown_size(item, sizes) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        size += sum(_grown_size(item, sizes) for pair in node.value for item in pair)
    sizes[id(node)] = size
    return size
