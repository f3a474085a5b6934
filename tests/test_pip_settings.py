"""The index and the ways to it are those that pip uses, or the user is told why they can't be known; never others."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from mirror_tasks.errors import UpstreamError
from mirror_tasks.index import pip_settings
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.pip_settings import PipSettings, are_needed_for, default_index
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import DODO, mirror_folder
from tests.pip import forget_settings
from tests.stepping import Lock, every_interruption

Configure = Callable[[str], None]


needs_pip = pytest.mark.skipif(find_spec("pip") is None, reason="no pip beside this Python")


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Configure]:
    """Write pip's configuration; pip itself reads it, in a process of its own."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    path = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))

    def write(text: str) -> None:
        path.write_text(text)
        forget_settings()

    write("")
    yield write
    forget_settings()


def answering(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let pip be ``program``."""

    def begin(*arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    monkeypatch.setattr(pip_settings, "_pip_command", begin)
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: True)


@needs_pip
def test_settings_that_pip_can_not_read_are_an_error_with_what_pip_said(configure: Configure, tmp_path: Path) -> None:
    configure("[global]\nindex-url = https://index.example.com/simple/\nno equals sign\n")
    for ask in (default_index, pip_settings.pip_settings):
        with pytest.raises(UpstreamError, match="parsing errors") as failed:
            ask()
        assert str(tmp_path / "pip.conf") in str(failed.value)
        assert "pip config debug" in failed.value.advice
        assert "index in mirror.yaml" in failed.value.advice


@needs_pip
def test_a_value_that_pip_refuses_is_an_error(configure: Configure) -> None:
    configure("[global]\ntimeout = soon\n")
    with pytest.raises(UpstreamError, match="soon"):
        default_index()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit('pip is broken')", "ended with 1: pip is broken"),
        ("import sys; print('ERROR: it is broken', file=sys.stderr)", "ERROR: it is broken"),
        ("print('what is this')", "found 'what is this'"),
    ],
)
def test_an_answer_of_pip_that_is_none_is_an_error(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    answering(monkeypatch, program)
    with pytest.raises(UpstreamError, match=reason):
        default_index()
    with pytest.raises(UpstreamError, match=reason):  # it is not asked again, and it is no other index
        default_index()


def test_a_pip_that_does_not_answer_is_an_error(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "import os; os.read(os.pipe()[0], 1)")
    monkeypatch.setattr(pip_settings, "_PATIENCE", 0.05)
    with pytest.raises(UpstreamError, match="found no answer"):
        default_index()


def test_no_password_is_shown_of_what_pip_said(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "raise SystemExit('bad: https://me:s3cret@index.example.com/')")
    with pytest.raises(UpstreamError) as failed:
        default_index()
    assert "s3cret" not in str(failed.value)


class ToldOnce:
    """Stands for pip's process, whose answer can be received once."""

    returncode = 0

    def __init__(self) -> None:
        self._said = ["global.index-url='https://index.example.com/simple'\n"]

    def communicate(self, timeout: float) -> tuple[str, str]:
        return self._said.pop(), ""


@pytest.mark.parametrize("begin", [default_index, lambda: str(pip_settings.begin_to_ask(None))])
def test_two_who_ask_at_once_get_the_one_answer_wherever_the_second_comes_in_between(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, begin: Callable[[], str]
) -> None:
    lock, asked = Lock(), list[ToldOnce]()

    def ask(*_: str) -> ToldOnce:
        asked.append(ToldOnce())
        return asked[-1]

    monkeypatch.setattr(pip_settings, "_ASKING", lock)
    monkeypatch.setattr(pip_settings, "_pip_command", ask)
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: True)

    def scene() -> tuple[Callable[[], str], Callable[[], str]]:
        forget_settings()
        asked.clear()
        return begin, default_index

    moments = 0
    for run in every_interruption(scene, pip_settings, lock):
        moments += 1
        assert run.first in ("https://index.example.com/simple", "True"), run
        assert run.second == "https://index.example.com/simple", run
        assert len(asked) == 1, run
    assert moments > 2


@needs_pip
@pytest.mark.parametrize("where", ["file", "variable"])
def test_pip_tells_its_settings_though_it_is_set_to_be_quiet(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    quiet = "quiet = 3\n" if where == "file" else ""
    if where == "variable":
        monkeypatch.setenv("PIP_QUIET", "2")
    configure(f"[global]\n{quiet}index-url = https://index.example.com/simple/\n")
    assert default_index() == "https://index.example.com/simple/"


@needs_pip
def test_of_two_files_of_pips_the_one_counts_that_counts_for_pip(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PIP_CONFIG_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    for folder, host in ((".config/pip", "new"), (".pip", "legacy")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "pip.conf").write_text(f"[global]\nindex-url = https://{host}.example.com/simple/\n")
    forget_settings()
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=True
    )
    assert default_index() == said.stdout.strip()


@needs_pip
def test_where_pip_uses_no_index_none_is_used(configure: Configure) -> None:
    configure("[global]\nno-index = true\n")
    with pytest.raises(UpstreamError, match="no-index"):
        default_index()


@needs_pip
def test_another_name_of_a_setting_counts_as_for_pip(configure: Configure) -> None:
    configure("[global]\npypi-url = https://index.example.com/simple/\n")
    assert default_index() == "https://index.example.com/simple/"


def test_without_pip_its_variables_count_and_its_default_is_used_with_a_line_about_it(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: False)
    assert default_index() == PYPI_SIMPLE_ENDPOINT
    (said,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "no pip beside" in said.getMessage()
    caplog.clear()
    forget_settings()
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.com/simple/")
    monkeypatch.setenv("PIP_TIMEOUT", "7")
    assert default_index() == "https://index.example.com/simple/"
    assert pip_settings.pip_settings() == PipSettings(timeout=7.0)
    assert not caplog.records


def test_the_library_that_has_the_default_is_not_imported_for_it() -> None:
    program = (
        "import sys\n"
        "from mirror_tasks.index.pip_settings import default_index\n"
        "print(default_index(), 'pypi_simple' in sys.modules)\n"
    )
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [PYPI_SIMPLE_ENDPOINT, "False"]


@pytest.mark.parametrize("source", [None, "", "PYPI_SIMPLE_ENDPOINT: str = concluded()"])
def test_a_library_whose_source_says_the_default_otherwise_is_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, source: str | None
) -> None:
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: False)
    monkeypatch.setattr("importlib.machinery.SourceFileLoader.get_source", lambda *_: source)
    assert default_index() == PYPI_SIMPLE_ENDPOINT


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "inf", "nan"])
def test_a_timeout_that_is_none_is_an_error_without_pip_too(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: False)
    monkeypatch.setenv("PIP_TIMEOUT", seconds)
    with pytest.raises(UpstreamError, match="timeout"):
        pip_settings.pip_settings()


def test_pip_is_asked_for_what_is_not_on_this_machine_only() -> None:
    assert not are_needed_for(["file:///srv/simple/", "http://127.0.0.1:8080/simple/", "http://localhost/simple/"])
    assert are_needed_for(["https://127.0.0.1/simple/"])  # pip's certificates count there
    assert are_needed_for(["file:///srv/simple/", "http://index.example.com/simple/"])


def test_files_of_another_machine_are_fetched_as_pip_would_though_the_index_is_on_this_one(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "raise SystemExit('pip is broken')")
    with FakeIndex({"foo": [wheel("foo", "1.0")]}) as index, Upstream([index.url], retries=0) as upstream:
        assert upstream.page("foo", None) is not None
        assert upstream.route.settings is None
        with pytest.raises(UpstreamError, match="pip is broken"):
            upstream.read("https://files.example.com/foo.whl.metadata", limit=1)


@needs_pip
def test_a_run_ends_with_what_pip_said_where_its_settings_decide_the_index(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nno equals sign\n")
    folder = mirror_folder(tmp_path / "run", None, dodo=DODO)
    folder.configure("placeholder")
    text = (folder.folder / "mirror.yaml").read_text()
    (folder.folder / "mirror.yaml").write_text(text.replace("index: placeholder\n", ""))
    done = folder.doit("mirror", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "parsing errors" in said
    assert "Traceback" not in said
    assert not (folder.output / "mirror.json").exists()
