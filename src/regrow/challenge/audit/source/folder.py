"""A submission's files, read once for rules, record checks and accounting alike: bounded, and never run.

A symbolic link is read where it leads to a file inside the folder, and named where it does not; folders behind links
are not entered. What the bounds leave out is remembered in `dropped`: an audit says what it did not read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from regrow.challenge.audit.source.text import decode

MAX_FILES = 2_000
#: Files that cannot hold source or figures are not opened at all; of the others, at most so many bytes each.
MAX_BYTES = 30_000_000


@dataclass
class Folder:
    """The files under one root.

    Attributes:
        root: the folder; of a single script, the one it lies in.
        script: the script that is audited alone, or None.
        files: every regular file, path -> bytes, in the order of the walk.
        broken: scripts that are no plain file: links that lead nowhere, round in a circle or out of the folder.
        dropped: what was left out, a phrase each.
    """

    root: Path
    script: Path | None = None
    files: dict[Path, int] = field(default_factory=dict)
    broken: list[Path] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    _texts: dict[Path, tuple[str, str]] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return str(self.script or self.root)

    def name(self, path: Path) -> str:
        """`path` as seen from the root."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def text(self, path: Path) -> tuple[str, str]:
        """A file's text and its encoding, read once; at most `MAX_BYTES` of it.

        Raises:
            OSError: the file cannot be read.
        """
        if path not in self._texts:
            with path.open("rb") as handle:
                data = handle.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                self.drop(f"{self.name(path)} beyond {MAX_BYTES:,} bytes")
            self._texts[path] = decode(data[:MAX_BYTES], path.suffix == ".py")
        return self._texts[path]

    def drop(self, what: str) -> None:
        """Remember, once, that something was left out."""
        if what not in self.dropped:
            self.dropped.append(what)


def read_folder(path: Path) -> Folder:
    """List a submission's folder, or a script with its siblings; nothing is opened yet.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    if path.is_file():
        folder = Folder(path.parent, path)
        leaves = [path, *(p for p in sorted(path.parent.iterdir()) if p != path)]
        _add(folder, leaves)
        return folder
    folder = Folder(path)
    next(path.iterdir(), None)  # os.walk passes over a folder that cannot be listed
    for where, names, found in os.walk(
        path, onerror=lambda error: folder.drop(f"a folder ({error.strerror})")
    ):
        names[:] = sorted(n for n in names if not n.startswith(".") and n != "__pycache__")
        if not _add(folder, [Path(where) / leaf for leaf in sorted(found)]):
            break
    return folder


def _add(folder: Folder, paths: list[Path]) -> bool:
    """Add what is a plain file and remember what is none; False once the folder is full."""
    inside = folder.root.resolve()
    for path in paths:
        try:
            outside = path.is_symlink() and not path.resolve(strict=True).is_relative_to(inside)
            plain = path.is_file() and not outside
        except (OSError, RuntimeError):  # a link that leads nowhere or round in a circle
            plain = False
        if len(folder.files) >= MAX_FILES:
            folder.drop(f"files after the first {MAX_FILES:,}")
            return False
        if plain:
            folder.files[path] = path.stat().st_size
        elif path.suffix == ".py":
            folder.broken.append(path)
        elif not path.is_dir():
            folder.drop(f"{folder.name(path)} (a link out of the folder, or no plain file)")
    return True
