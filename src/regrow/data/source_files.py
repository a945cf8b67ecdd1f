"""The files of a source folder: which are found, and what is left out and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from regrow.core.errors import readable


class SourceFiles:
    """The `files` of a source, a folder or a file, in order of their paths, and a sentence for all that is `left_out`.

    Sub-folders are searched, hidden files and folders are left out. A link is followed, but not to what is read
    already, so a circle of links ends. Raises DataError for a folder that cannot be read.
    """

    def __init__(self, source: Path) -> None:
        self.root = source if source.is_dir() else source.parent
        self.files: list[Path] = [] if source.is_dir() else [source]
        self.left_out: list[str] = []
        self._seen: dict[str, Path] = {}  # real path of each folder and file: where it was found first
        if not source.is_dir():
            return
        links: list[Path] = []
        self._walk(source, links)
        # What lies in the folder itself was first, so that links are what is left out.
        while links:
            links.sort(key=self._order, reverse=True)
            self._follow(links.pop(), links)
        self.files.sort(key=self._order)

    @classmethod
    def of(cls, sources: Sequence[Path]) -> SourceFiles:
        """Those of several sources in the order given, each file once."""
        first, *others = map(cls, sources)
        if others:
            found = [first, *others]
            files: dict[str, Path] = {}
            for file in (file for one in found for file in one.files):
                files.setdefault(os.path.realpath(file), file)
            first.files = list(files.values())
            first.left_out = [line for one in found for line in one.left_out]
            first.root = Path(os.path.commonpath([one.root.absolute() for one in found]))
        return first

    def name(self, path: Path) -> str:
        """The path of a file of this source, without the folder's own."""
        return os.path.relpath(path, self.root)

    def leave_out(self, path: Path, reason: str) -> None:
        """Note that `path` is not read."""
        walk = () if path.is_symlink() else os.walk(path)
        inside = [Path(place, name) for place, _, names in walk for name in names]
        sizes = [file.stat().st_size for file in [path, *inside] if file.is_file()]
        size = f"{sum(sizes):,} bytes, " if sizes else ""
        self.left_out.append(f"{self.name(path)}: left out ({size}{reason})")

    def _walk(self, top: Path, links: list[Path]) -> None:
        for place, folders, names in os.walk(top, onerror=_refuse):
            real = os.path.realpath(place).rstrip("/")
            self._seen[real or "/"] = Path(place)
            entered = []
            for name in sorted(folders + names):
                path = Path(place, name)
                if name.startswith("."):
                    self.leave_out(path, "hidden")
                elif path.is_symlink():
                    links.append(path)
                elif self._is_new(path, f"{real}/{name}"):
                    if path.is_dir():
                        entered.append(name)
                    else:
                        self._add(path, f"{real}/{name}")
            folders[:] = entered

    def _follow(self, link: Path, links: list[Path]) -> None:
        target = os.path.realpath(link)
        if not link.exists():
            self.leave_out(link, f"a link to {link.readlink()}, which is not there")
        elif self._is_new(link, target):
            if link.is_dir():
                self._walk(link, links)
            else:
                self._add(link, target)

    def _is_new(self, path: Path, real: str) -> bool:
        if real in self._seen:
            self.leave_out(path, f"the same as {self.name(self._seen[real])}, which is read")
        return real not in self._seen

    def _add(self, path: Path, real: str) -> None:
        if path.is_file():
            self._seen[real] = path
            self.files.append(path)
        else:
            self.leave_out(path, "no regular file")

    def _order(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.root).parts


def _refuse(error: OSError) -> None:
    with readable(Path(error.filename), "leave the folder out or make it readable"):
        raise error
