"""What `doit bundle` prints and does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import doit.loader

from mirror_tasks.config.transfer import Transfer
from mirror_tasks.errors import ResolutionError
from mirror_tasks.publish.server import receiver_template
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.console import new_table, print_table
from mirror_tasks.tasks.run import look_for_garbage_rarely
from mirror_tasks.text import readable
from mirror_tasks.transfer import bases
from mirror_tasks.transfer.bundle import Asked, Bundler, Finished
from mirror_tasks.transfer.missing import MOST_BYTES, Missing, read_missing
from mirror_tasks.transfer.sendings import Sendings

_EXAMPLE = "transfer: {to: /media/stick, sign: {ssh: ~/.ssh/id_ed25519}}"


def bundle(mirror: Mirror, asked: Mapping[str, object]) -> None:
    """Do what the options say.

    :raises MirrorError: it can't be done.
    """
    look_for_garbage_rarely()
    transfer = _transfer(mirror)
    _check_one(asked)
    if sent := int(str(asked["sent"])):
        bases.mark_sent(Sendings(mirror.config.state, transfer.stream), sent)
        print(f"Bundle {sent} is marked as sent; the next one builds on it.")
        return
    checks_room = os.environ.get("MIRROR_SPACE") != "any"
    program = receiver_template().read_bytes()
    bundler = Bundler(mirror, transfer, program, Said(), checks_room=checks_room)
    if volume := int(str(asked["volume"])):
        _print(bundler.rewrite(volume))
        return
    if again := str(asked["again"]):
        _print(bundler.again(_missing(Path(again))))
        print("Next: carry it inside, and run receive.py there with the folder of the bundle, as before.")
        return
    since = int(str(asked["since"])) or None
    done = bundler.bundle(Asked(since, bool(asked["full"]), bool(asked["unproven"])))
    if done is not None:
        _print(done)
        _print_next(done, transfer)


def _missing(path: Path) -> Missing:
    """Read what did not arrive.

    :raises ResolutionError: the file can't be read as that.
    """
    path = Path(doit.loader.initial_workdir or ".") / path  # as the user typed it, wherever that was
    try:
        with path.open("rb") as stream:
            return read_missing(stream.read(MOST_BYTES + 1))
    except ValueError as error:
        advice = "Carry it out again, or have receive.py write it again (--missing FILE)."
        raise ResolutionError("reading what is missing", str(path), str(error), advice) from None


def _transfer(mirror: Mirror) -> Transfer:
    """Return what mirror.yaml says of transfers.

    :raises ResolutionError: it does not say where to, or not who signs.
    """
    transfer, path = mirror.config.transfer, mirror.config.path
    if transfer is None:
        problem = "expected `transfer:`, found none"
        raise ResolutionError("bundling by", str(path), problem, f"Add it, such as {_EXAMPLE}")
    if not transfer.signers and not transfer.unsigned:
        problem = "expected who signs bundles under transfer.sign, found nobody"
        advice = (
            "Name a key, such as {ssh: ~/.ssh/id_ed25519}; or say `sign: none`, and inside --unsigned has to be said."
        )
        raise ResolutionError("bundling by", str(path), problem, advice)
    return transfer


def _check_one(asked: Mapping[str, object]) -> None:
    """Refuse options that ask for different things.

    :raises ResolutionError: two of them are given, or a number is none.
    """
    given = [f"--{name}" for name in ("sent", "since", "full", "again", "volume") if asked[name]]
    if len(given) > 1:
        raise ResolutionError("bundling", " ".join(given), "expected one of these, found several", "Say one of them.")
    for name in ("sent", "since", "volume"):
        if int(str(asked[name])) < 0:
            raise ResolutionError("bundling", f"--{name} {asked[name]}", "expected a number from 1", "Say one.")


class Said:
    """Tells on the standard output, and how far it is where that is a terminal."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    @contextmanager
    def copying(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        """Show how many bytes of something are copied."""
        if not sys.stdout.isatty():
            yield lambda _: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn(), transient=True
        ) as progress:
            one = progress.add_task(what, total=size)
            yield lambda count: progress.advance(one, count)


def _print(done: Finished) -> None:
    table = new_table("volume")
    for column in ("files", "size"):
        table.add_column(column, justify="right")
    if done.before:
        table.add_column("written")
    for volume in done.volumes:
        when = ["before" if volume.number in done.before else "now"] if done.before else []
        table.add_row(volume.folder.name, str(len(volume.files)), readable(volume.size()), *when)
    print_table(table, f"Bundle {done.folder.name}")
    print(f"in {done.folder}")


def _print_next(done: Finished, transfer: Transfer) -> None:
    trust = "--trust FILE" if transfer.signers else "--unsigned"
    print(f"Next: carry {done.folder.name} inside, and apply it there, with the receive.py that is in each volume:")
    print(f"  python3 receive.py FOLDER --to DIRECTORY {trust}")
    print(f"When it was carried, here: doit bundle --sent {done.manifest.sequence}")
