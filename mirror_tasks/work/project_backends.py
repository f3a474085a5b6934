"""What projects require, asked of their build backends: once, and again when something changed that they could see."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mirror_tasks.archives.build_environment import From
from mirror_tasks.archives.prepared_metadata import Prepared, ask_project
from mirror_tasks.config.bindings import general_index
from mirror_tasks.config.model import Config, DynamicProject
from mirror_tasks.config.project_files.answers import Answer, keep_answer, read_answer
from mirror_tasks.errors import MirrorError
from mirror_tasks.index.client import Upstream
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.text import counted
from mirror_tasks.work.project_sources import ProjectSources


class ProjectBackends:
    """The build backends of the projects of one mirror."""

    def __init__(self, mirror: Mirror, upstream: Upstream) -> None:
        self._config = mirror.config
        self._note = mirror.note
        self._upstream = upstream

    def announce(self, project: DynamicProject) -> None:
        """Tell that the backend of a project will be asked, and why."""
        why = "its files changed since it was asked" if read_answer(project.record) else "it was not asked yet"
        said = f"{', '.join(project.says[:-1])} and {project.says[-1]}" if len(project.says) > 1 else project.says[0]
        self._note(f"{project.shown}: asking its build backend, which alone says {said}; {why}")

    def ask(self, project: DynamicProject) -> None:
        """Ask the backend of a project, and keep what it says.

        :raises MetadataError: it can't be asked, or says what is no metadata.
        :raises UpstreamError: there is no index to install it from.
        """
        index = general_index(self._upstream.route.indexes)
        with tempfile.TemporaryDirectory(prefix="mirror-project-") as folder:
            copy, digest = _sources(project, self._config).copy(Path(folder).resolve() / "sources")
            prepared = ask_project(copy, From(index.url, index.client_cert), project.shown)
        # What it says of folders beside it is meant of the project itself.
        moved = (copy.as_uri(), project.path.parent.as_uri())
        keep_answer(project.record, _answer(prepared, digest, moved))
        self._note(
            f"{project.shown}: its build backend says {counted(len(prepared.metadata.requires_dist), 'requirement')} and "
            f"{counted(len(prepared.metadata.provides_extra), 'extra')}, which is taken for every environment"
        )


def is_current(project: DynamicProject, config: Config) -> bool:
    """Say if nothing changed that the backend of a project was shown when it was asked."""
    answer = read_answer(project.record)
    try:
        return answer is not None and answer.sources == _sources(project, config).digest()
    except (MirrorError, OSError):
        return False


def changed_projects(config: Config) -> list[DynamicProject]:
    """Return the projects of which something changed since their backends were asked."""
    return [one for one in config.dynamic if one.is_known and not is_current(one, config)]


def _sources(project: DynamicProject, config: Config) -> ProjectSources:
    made_here = (config.output, config.state, *([config.transfer.to] if config.transfer else []))
    return ProjectSources(project.path.parent, project.shown, made_here)


def _answer(prepared: Prepared, digest: str, moved: tuple[str, str]) -> Answer:
    said = prepared.metadata
    return Answer(
        sources=digest,
        name=said.name,
        requires_python=said.requires_python or "",
        requires_dist=tuple(line.replace(*moved) for line in said.requires_dist),
        provides_extra=said.provides_extra,
        build_requires=prepared.build_requires,
    )
