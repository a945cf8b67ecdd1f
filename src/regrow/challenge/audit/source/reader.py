"""Reads what a script is made of: its own text, the helpers it reaches, and the layers it hides, without
running any.

A `Program` is a list of `Unit`s, each one parsed Python text. Whatever cannot be read is a finding, never an
exception: syntax errors, null bytes, other encodings, huge files, symlink loops, nesting too deep to parse,
decompression bombs.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from regrow.challenge.audit.finding import Confidence, Finding, Severity
from regrow.challenge.audit.source.layers import Bomb, Evaluator, MissingDecoder, Unknown
from regrow.challenge.audit.source.modern import flatten_fstrings

#: Limits on what is read.
MAX_FILES = 300
MAX_FILE_BYTES = 30_000_000
MAX_SOURCE_CHARS = 1_500_000
MAX_LAYERS = 6
MAX_DEPTH = 8
MAX_ENTRIES = 40

Role = Literal["entry", "reached", "aside"]
_STRING = re.compile(r"'[^'\n]{400,}'|\"[^\"\n]{400,}\"")
_ENTRY = re.compile(r"^(train|submission|eval|run)[\w.-]*\.py$")


@dataclass
class Unit:
    """One parsed Python text.

    Attributes:
        name: how findings call it: a path relative to the audited folder, or `path!layer1`.
        module: its module name, for imports between siblings.
        text: source with line ends normalised.
        tree: its syntax tree; an empty module where it cannot be parsed.
        functions: every function, found on first use.
        role: `entry` (run directly), `reached` (imported or executed by an entry), `aside` (in the folder
        only).
    """

    name: str
    module: str
    text: str
    tree: ast.Module
    role: Role = "aside"
    lines: list[str] = field(default_factory=list)
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef] | None = None

    def function_around(self, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The innermost function that holds a line."""
        if self.functions is None:
            self.functions = [
                n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
        around = [n for n in self.functions if n.lineno <= line <= (n.end_lineno or n.lineno)]
        return max(around, key=lambda n: n.lineno, default=None)

    def around(self, line: int) -> str:
        """Text of the innermost function that holds a line; of the whole unit where none does."""
        node = self.function_around(line)
        return "\n".join(self.lines[node.lineno - 1 : node.end_lineno]) if node is not None else self.text

    def quote(self, line: int | None, column: int = 0, width: int = 160) -> str:
        """The source line, stripped; a long line is cut around `column`."""
        if line is None or not 1 <= line <= len(self.lines):
            return ""
        text = self.lines[line - 1]
        if len(text) > width:
            start = max(0, min(column - 20, len(text) - width))
            text = ("… " if start else "") + text[start : start + width] + " …"
        return text.strip()


@dataclass
class Sources:
    """Every unit of one submission, texts in other languages, and what could not be read.

    Attributes:
        root: the submission's folder.
        units: parsed Python texts; files that no script reaches are parsed only where a rule asks for them.
        foreign: C and C++ files by name.
        notes: README, shell scripts and JSON by name.
        findings: what could not be read.
        logs: lines of the logs, stripped, each after a newline.
        unread: Python files not parsed so far, by name.
    """

    root: Path
    units: list[Unit] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    logs: str = ""
    unread: dict[str, str] = field(default_factory=dict)

    def report(
        self,
        rule: str,
        severity: Severity,
        confidence: Confidence,
        file: str,
        line: int | None,
        message: str,
        text: str = "",
    ) -> None:
        """Add a finding about reading itself."""
        self.findings.append(Finding(rule, severity, confidence, file, line, message, text))


def read_sources(path: Path) -> Sources:
    """Read a script (with the siblings it reaches) or a submission folder."""
    root = path if path.is_dir() else path.parent
    sources = Sources(root)
    try:
        files = _listing(path, sources)
    except OSError as error:
        sources.report(
            "unreadable-source", "medium", "high", str(path), None, f"The folder cannot be read: {error}."
        )
        return sources
    for file in files:
        _read(file, sources)
    _mark_roles(path, sources)
    if path.is_file():
        sources.unread.clear()
    _peel(sources)
    return sources


def _listing(path: Path, sources: Sources) -> list[Path]:
    if path.is_file():
        siblings = [p for p in sorted(path.parent.iterdir())[:2000] if p != path and p.suffix in _SUFFIXES]
        return [path, *[p for p in siblings if p.is_file()][:MAX_FILES]]
    found: list[Path] = []
    for folder, names, files in os.walk(path, followlinks=False):
        depth = len(Path(folder).relative_to(path).parts)
        names[:] = sorted(n for n in names if not n.startswith(".") and depth < MAX_DEPTH)
        found.extend(Path(folder) / f for f in sorted(files) if Path(f).suffix.lower() in _SUFFIXES)
        if len(found) > MAX_FILES:
            sources.report(
                "unreadable-source",
                "low",
                "high",
                str(path),
                None,
                f"Only the first {MAX_FILES} source files were read.",
            )
            break
    return found[:MAX_FILES]


_SUFFIXES = {".py", ".c", ".cc", ".cpp", ".cu", ".h", ".md", ".sh", ".json", ".log", ".txt"}


def _read(file: Path, sources: Sources) -> None:
    try:
        name = str(file.relative_to(sources.root))
        if not file.is_file():  # a dangling or looping symlink, a pipe
            if file.suffix == ".py":
                sources.report(
                    "unreadable-source",
                    "medium",
                    "high",
                    name,
                    None,
                    "This is not a plain file: a link that leads nowhere or round in a circle.",
                )
            return
        if file.stat().st_size > MAX_FILE_BYTES:
            sources.report(
                "unreadable-source", "medium", "high", name, None, "The file is too large to read."
            )
            return
        data = file.read_bytes()
    except (OSError, RuntimeError) as error:
        sources.report(
            "unreadable-source", "medium", "high", str(file), None, f"The file cannot be read: {error}."
        )
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
        if file.suffix == ".py":
            sources.report(
                "unreadable-source",
                "low",
                "high",
                name,
                None,
                "The file is not UTF-8; it was read as Latin-1.",
            )
    if file.suffix == ".py":
        sources.unread[name] = text
    elif file.suffix in (".log", ".txt"):
        if len(sources.logs) < 8_000_000:
            sources.logs += "\n" + "\n".join(line.strip() for line in text[:3_000_000].split("\n"))
    elif file.suffix in (".md", ".sh", ".json"):
        sources.notes[name] = text[:400_000]
    else:
        sources.foreign[name] = text[:1_000_000]


def add_unit(
    sources: Sources, name: str, module: str, text: str, role: Role = "aside", quiet: bool = False
) -> Unit | None:
    """Parse one text; a failure is a finding. Returns the unit, or None where it cannot be parsed."""
    if "\0" in text:
        sources.report(
            "unreadable-source",
            "medium",
            "high",
            name,
            None,
            "The source holds null bytes; Python would refuse it.",
        )
        text = text.replace("\0", "")
    if len(_STRING.sub("''", text)) > MAX_SOURCE_CHARS if len(text) > MAX_SOURCE_CHARS else False:
        sources.report(
            "unreadable-source", "medium", "high", name, None,
            f"The source has {len(text):,} characters of code, too many to analyse; nothing in it "
            "was judged.",
        )  # fmt: skip
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        if (newer := _parse_newer(text)) is not None:
            return _kept(sources, Unit(name, module, text, newer, role, text.split("\n")))
        if quiet:
            return None
        sources.report(
            "unreadable-source",
            "medium",
            "high",
            name,
            error.lineno,
            f"Python cannot parse this file: {error.msg}.",
        )
        return None
    except (ValueError, RecursionError, MemoryError) as error:
        sources.report(
            "unreadable-source",
            "medium",
            "high",
            name,
            None,
            f"The source nests too deeply to parse ({type(error).__name__}).",
        )
        return None
    return _kept(sources, Unit(name, module, text, tree, role, text.split("\n")))


def _kept(sources: Sources, unit: Unit) -> Unit:
    sources.units.append(unit)
    return unit


def _parse_newer(text: str) -> ast.Module | None:
    """Parse source written for a Python with freer f-strings than the one that runs the audit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(flatten_fstrings(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(a.name.rsplit(".", 1)[-1] for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(a.name for a in node.names)
            if node.module:
                found.add(node.module.rsplit(".", 1)[-1])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".py"):
            found.add(node.value.rsplit("/", 1)[-1][:-3])
    return found


def _mark_roles(path: Path, sources: Sources) -> None:
    """Parse the entries and whatever they reach; the rest stays unread."""
    names = list(sources.unread)
    top = [n for n in names if "/" not in n]
    if path.is_file():
        entries = [n for n in names if n == path.name]
    else:
        entries = [n for n in top if n == "train_gpt.py"] or [n for n in top if _ENTRY.match(n)]
        entries = entries or top or names
    by_module: dict[str, list[str]] = {}
    for name in names:
        by_module.setdefault(Path(name).stem, []).append(name)
    queue = [u for n in entries[:MAX_ENTRIES] if (u := _parse(sources, n, "entry")) is not None]
    while queue:
        for module in sorted(_imports(queue.pop().tree)):
            for name in by_module.get(module, ()):
                if name in sources.unread and (unit := _parse(sources, name, "reached")) is not None:
                    queue.append(unit)


def _parse(sources: Sources, name: str, role: Role) -> Unit | None:
    return add_unit(sources, name, Path(name).stem, sources.unread.pop(name), role)


_DECOMPRESS = {"decompress", "b85decode", "b64decode", "a85decode", "decode"}


def _peel(sources: Sources) -> None:
    """Open hidden layers, breadth first; a layer is itself searched for layers."""
    queue = [(u, 0) for u in sources.units]
    seen = {u.text for u in sources.units}
    trees = {u.module: u.tree for u in sources.units}
    while queue:
        unit, depth = queue.pop(0)
        evaluator = Evaluator(unit.tree, sources.root / unit.name.split("!")[0], sources.root, trees)
        layers = 0
        for node, call in _executed(unit.tree):
            try:
                value = evaluator.evaluate(node)
            except Bomb:
                sources.report(
                    "decompression-bomb", "high", "high", unit.name, node.lineno,
                    "A hidden layer unpacks to more than 8 MB; it was not opened.",
                    unit.quote(node.lineno, node.col_offset),
                )  # fmt: skip
                continue
            except (Unknown, RecursionError) as error:
                if call in ("exec", "run"):
                    what = f" (needs the {error} decoder)" if isinstance(error, MissingDecoder) else ""
                    sources.report(
                        "hidden-source", "medium", "medium", unit.name, node.lineno,
                        f"Code is executed that cannot be read from the folder without running it{what}.",
                        unit.quote(node.lineno, node.col_offset),
                    )  # fmt: skip
                continue
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for name, known in list(sources.unread.items()):
                if known == text and (copy := _parse(sources, name, "reached")) is not None:
                    queue.append((copy, depth + 1))  # the readable copy lies beside the hidden one
                    seen.add(known)
            if not isinstance(text, str) or text in seen or len(text) < 12 or depth >= MAX_LAYERS:
                continue
            if call == "data" and not re.search(r"(?m)^\s*(import|from|def|class)\s", text):
                continue
            seen.add(text)
            layers += 1
            inner = add_unit(
                sources, f"{unit.name}!layer{layers}", unit.module, text, unit.role, call == "data"
            )
            if inner is not None:
                queue.append((inner, depth + 1))


def _executed(tree: ast.Module) -> list[tuple[ast.expr, str]]:
    """Expressions handed to exec/eval/compile, and constants that are decompressed for any purpose."""
    found: list[tuple[ast.expr, str]] = []
    inside: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args or isinstance(node.args[0], ast.Starred):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("exec", "eval", "compile") and isinstance(node.func, ast.Name):
            if name == "exec":
                found.append((node.args[0], "exec"))
            elif name == "compile" and id(node) not in inside:
                found.append((node.args[0], "data"))
            inside.update(id(n) for n in ast.walk(node.args[0]))
        elif name in _DECOMPRESS and id(node) not in inside and name != "decode":
            found.append((node, "data"))
            inside.update(id(n) for n in ast.walk(node))
    return found
