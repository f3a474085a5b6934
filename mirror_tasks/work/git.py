"""The program git, run for a repository that nobody vouches for: no prompt, no hook, one protocol, and not for ever.

What the user set for git (proxies, certificates, helpers for credentials, keys of ssh) counts, but for what would run in
our clone. Credentials of the URL are on no command line, which every user of the machine can read.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mirror_tasks.config.own_git import GitSource, is_commit
from mirror_tasks.errors import UpstreamError
from mirror_tasks.text import redact, without_credentials

_PATIENCE = 600  # seconds for one command: a clone brings all of the history, as versions are often made of its tags
_LATEST = 2**32 - 1  # seconds; gzip knows no time after that, and a commit may say any
_DOING = "fetching the repository"
# Of the variables of git those that say how a host is reached; others could lead it into another repository.
_KEPT = ("GIT_SSH", "GIT_SSL", "GIT_PROXY", "GIT_HTTP", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_SAFE = (f"core.hooksPath={os.devnull}", "core.fsmonitor=false", "core.autocrlf=false", "advice.detachedHead=false")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that is checked out.

    :param seconds: since 1970, when it was committed, as far as archives can say it.
    """

    sha: str
    seconds: int


def said_of(folder: Path, *arguments: str) -> str | None:
    """Return what git says in a folder of this machine, which it leaves as it is; None where there is no git, or it fails."""
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--no-optional-locks", *_options(), *arguments],
            cwd=folder,
            env=_environment("file:///"),
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout)


class Clone:
    """A clone of a repository, in a folder that is to be made."""

    def __init__(self, source: GitSource, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._url = _without_password(source.url)

    def check_out(self, known: str | None) -> Commit:
        """Fetch the repository, and have the files of one commit in the folder.

        :param known: the commit that its branch or tag was when it was first asked for; None: it is asked for now.
        :raises UpstreamError: it can't be had; the message has the last words of git.
        """
        self._git(
            "clone",
            "--quiet",
            "--no-checkout",
            "--template=",
            "--origin=origin",
            "--",
            self._url,
            str(self._folder),
            inside=False,
        )
        sha = self._commit(known or self._source.ref)
        self._git("checkout", "--quiet", "--detach", sha)
        if (self._folder / ".gitmodules").exists():
            problem = f"expected a commit that is whole, found that {sha} has submodules, which are not fetched here"
            raise self._error(problem, "Build it yourself, and name the folder of what that made (wheels:).")
        return Commit(sha, min(max(0, int(self._git("show", "--no-patch", "--format=%ct", sha))), _LATEST))

    def _commit(self, ref: str) -> str:
        """Return the commit of ``ref``: of a tag, of a branch, or itself, even if no branch leads to it."""
        if is_commit(ref):
            if self._parsed(ref) is None:
                self._git("fetch", "--quiet", "origin", ref)
            return ref
        names = (f"refs/tags/{ref}", f"refs/remotes/origin/{ref}", ref) if ref else ("refs/remotes/origin/HEAD", "HEAD")
        found = next((sha for name in names if (sha := self._parsed(name))), None)
        if found is None:
            problem = f"expected a commit, tag or branch {ref or 'HEAD'}, found none of this name"
            raise self._error(problem, "Check its spelling, and that it was pushed.")
        return found

    def _parsed(self, name: str) -> str | None:
        try:
            return self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
        except subprocess.CalledProcessError:
            return None

    def _git(self, *arguments: str, inside: bool = True) -> str:
        try:
            return self._run(*arguments, inside=inside)
        except subprocess.TimeoutExpired as error:
            problem = f"expected `git {arguments[0]}` to end within {_PATIENCE} seconds, found it at work still"
            raise self._error(problem, "Run again when the host is well.") from error
        except subprocess.CalledProcessError as error:
            problem = f"expected `git {arguments[0]}` to end well, found: {redact(error.stderr).strip()[-500:]}"
            raise self._error(
                problem, "Check the URL and the commit, and that git can reach it without a prompt."
            ) from error

    def _run(self, *arguments: str, inside: bool = True) -> str:
        program = shutil.which("git")
        if program is None:
            raise self._error("expected the program git, found none", "Install git, then run again.")
        done = subprocess.run(
            [program, *_options(), *arguments],
            cwd=self._folder if inside else self._folder.parent,
            env=_environment(self._source.url),
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
        return done.stdout

    def _error(self, problem: str, advice: str) -> UpstreamError:
        return UpstreamError(_DOING, self._source.shown, problem, advice)


def _options() -> list[str]:
    return [word for setting in _SAFE for word in ("-c", setting)]


def _without_password(url: str) -> str:
    """Return a URL for a command line: for ssh with its user, who is no secret."""
    return url if url.startswith("ssh:") else without_credentials(url)


def _environment(url: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(_KEPT)}
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GCM_INTERACTIVE": "never",
        **_ssh(kept),
        "GIT_ALLOW_PROTOCOL": urlsplit(url).scheme,
        "LC_ALL": "C.UTF-8",
        **_login(url),
    }


def _ssh(kept: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variable that keeps ssh from asking the terminal, whichever ssh the user has set for git."""
    if "GIT_SSH" in kept:  # a program, which may know no options
        return {}
    command = kept.get("GIT_SSH_COMMAND") or _setting("core.sshCommand") or "ssh"
    return {"GIT_SSH_COMMAND": f"{command} -oBatchMode=yes"}


@cache
def _setting(key: str) -> str:
    command = ["git", "config", "--get", key]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return done.stdout.strip()


def _login(url: str) -> Mapping[str, str]:
    """Return the variables by which git logs in with the credentials of a URL: to its place, and nowhere else."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme not in ("https", "http") or not (user or password):
        return {}
    header = "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    key = f"http.{without_credentials(url)}.extraHeader"
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": header}
