"""``[dependency-groups]`` (PEP 735): checked here, so that each fault has its key path, and put together by packaging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.dependency_groups import DependencyGroupResolver
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, did_you_mean, show
from mirror_tasks.config.project_files.lines import Lines, names
from mirror_tasks.config.project_files.model import Dependencies

_MOST = 200  # groups; one that includes the next, and so on, takes a few frames of the stack for each

_Items = list["str | Mapping[str, str]"]


def read_groups(lines: Lines, table: Block) -> dict[NormalizedName, Dependencies]:
    """Return the groups by name, each with those that it includes."""
    named = names(table)
    if len(named) > _MOST:
        table.fault("", f"expected at most {_MOST} groups, found {len(named)}")
        return {}
    groups: dict[str, _Items] = {name: list(_items(lines, table, name)) for name in named}
    return {canonicalize_name(name): _together(lines, table, name, groups) for name in named}


def _items(lines: Lines, table: Block, name: str) -> Iterator[str | Mapping[str, str]]:
    value = table.get(name)
    if not isinstance(value, list):
        table.fault(name, f"expected a list of requirements, found {show(value)}")
        return
    known = {canonicalize_name(str(key)): str(key) for key, _ in table.items()}
    for position, item in enumerate(value):
        where = f"{name}[{position}]"
        if isinstance(item, str):
            if lines.requirement(item, table.path(where)) is not None:
                yield item
        elif not isinstance(item, dict) or list(item) != ["include-group"]:
            table.fault(where, f'expected a requirement or {{include-group = "…"}}, found {show(item)}')
        elif canonicalize_name(str(item["include-group"])) not in known:
            hint = did_you_mean(item["include-group"], known.values())
            table.fault(where, f"includes the group {show(item['include-group'])}, which is not there{hint}")
        else:
            yield item


def _together(lines: Lines, table: Block, name: str, groups: Mapping[str, _Items]) -> Dependencies:
    try:
        found = DependencyGroupResolver(groups).resolve(name)
    except (
        Exception
    ) as error:  # a circle is all that is left; packaging raises it within a group of errors, or by itself
        table.fault(name, str(getattr(error, "exceptions", [error])[0]))
        return ()
    return tuple(lines.dependency(one, table.path(name)) for one in found)
