"""Reading what people have: other encodings, newer syntax, links; and saying what was left out."""

from __future__ import annotations

import ast
import codecs
from pathlib import Path

import pytest

from regrow.challenge.audit.source import reader
from regrow.challenge.audit.source.folder import read_folder
from regrow.challenge.audit.source.imports import imported, reached
from regrow.challenge.audit.source.newer import older_syntax
from regrow.challenge.audit.source.sources import parse
from regrow.challenge.audit.source.text import decode
from regrow.challenge.audit.static import static_findings

FIXTURES = Path(__file__).parents[2] / "fixtures" / "audit"
BAD = (FIXTURES / "train-on-validation" / "example_bad.py").read_text(encoding="utf-8")


def rules_of(path: Path, above: str = "low") -> set[str]:
    return {f.rule for f in static_findings(path) if f.severity != above}


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + BAD.encode(),
        codecs.BOM_UTF16_LE + BAD.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + BAD.encode("utf-16-be"),
        BAD.encode("utf-16-le"),
        codecs.BOM_UTF32_LE + BAD.encode("utf-32-le"),
        "# -*- coding: shift_jis -*-\n# 小\n".encode("shift_jis") + BAD.encode(),
        b"#!/usr/bin/python\n# vim: set fileencoding=latin-1 :\n# \xe9\n" + BAD.encode(),
        "# é\n".encode("latin-1") + BAD.encode(),
    ],
)
def test_a_source_is_judged_in_whatever_encoding(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "train_gpt.py").write_bytes(data)
    assert rules_of(tmp_path) == {"train-on-validation"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_log_reads_the_same_in_every_encoding(encoding: str) -> None:
    text = "step:1 val_bpb:1.2345 ↑ 50 %\n" * 9
    assert decode(text.encode(encoding))[0] == text


def test_damage_in_a_log_does_not_change_the_rest() -> None:
    assert decode("█▉ 50 % val_bpb:1.2".encode() + b"\xff")[0] == "█▉ 50 % val_bpb:1.2\ufffd"
    assert decode("café val_bpb:1.2".encode("latin-1"))[0] == "café val_bpb:1.2"
    assert decode(b"")[0] == "" and decode(b"\0")[0] == "\0"


NEWER = {
    "nested quotes": "x = f'{d['a']} and {f'{d['b']}'}'\n",
    "field over lines": "x = f'{\n  1\n}' + y\n",
    "template": "x = t'{a}'\n",
    "type parameters": "def first[T: (int, list[str])](x: T) -> T:\n    return x\nclass A[T]:\n    pass\n",
    "type statement": "type Pair[T] = tuple[T, T]\n",
    "except without parentheses": "try:\n    pass\nexcept ValueError, TypeError:\n    pass\n",
    "group": "try:\n    pass\nexcept* ValueError, TypeError:\n    pass\n",
}


@pytest.mark.parametrize("text", NEWER.values(), ids=NEWER)
def test_newer_syntax_is_read_and_lines_keep_their_numbers(tmp_path: Path, text: str) -> None:
    tree = parse(text + "marker = 1\n")
    assert tree.body[-1].lineno == text.count("\n") + 1
    (tmp_path / "train_gpt.py").write_text(text + BAD)
    assert rules_of(tmp_path) == {"train-on-validation"}


def test_older_syntax_leaves_strings_and_comments_alone() -> None:
    text = "a = 'def f[T](x)'  # except A, B:\nb = r'\\'\nc = '''type X = 1\n'''\nd = x[def_[1]]\n"
    assert older_syntax(text) == text


def test_syntax_that_no_python_knows_is_a_finding_with_the_version(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text("def f(:\n")
    (found,) = [f for f in static_findings(tmp_path) if f.rule == "unreadable-source"]
    assert found.severity == "medium" and found.message.startswith("Python 3.") and found.line == 1


def test_imports_are_found_wherever_they_stand() -> None:
    tree = ast.parse(
        "import a.b\nfrom c import d\nfrom . import e\nif TYPE_CHECKING:\n    import f\nelse:\n    import g\n"
        "def h():\n    from i.j import k\n"
    )
    assert sorted(imported(tree)) == ["a.b", "c", "c.d", "e", "g", "i.j", "i.j.k"]


def test_reached_ends_on_a_circle() -> None:
    assert reached(["a"], {"a": ["b"], "b": ["a", "c"], "c": []}.__getitem__) == ["a", "b", "c"]


def test_links_are_read_inside_the_folder_and_nowhere_else(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    (inside / "src").mkdir(parents=True)
    (inside / "src" / "real.py").write_text(BAD)
    (inside / "train_gpt.py").symlink_to("src/real.py")
    assert "train-on-validation" in rules_of(inside)
    (inside / "train_gpt.py").unlink()
    (inside / "src" / "real.py").unlink()
    (tmp_path / "secret.py").write_text(BAD)
    (inside / "train_gpt.py").symlink_to(tmp_path / "secret.py")
    assert rules_of(inside) == {"unreadable-source"}


def test_what_the_limits_leave_out_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    (tmp_path / "train.log").write_text("x\n" * 50)
    monkeypatch.setattr(reader, "MAX_ENTRIES", 2)
    monkeypatch.setattr(reader, "MAX_LOG_CHARS", 10)
    folder = read_folder(tmp_path)
    reader.read_sources(folder)
    assert folder.dropped == ["switches in logs beyond 10 characters", "scripts after the first 2"]


BOMBS = {
    "doubled": "a = 'x' * 4000000\nb = a + a\nc = b + b\nexec(c + c)\n",
    "doubled often": "a = 'x' * 1000\n"
    + "".join(f"a{i + 1} = a{i} + a{i}\n" for i in range(40))
    + "exec(a40)\n",
    "replaced": "exec(('x' * 4000000).replace('x', 'y' * 4000000))\n",
    "joined": "exec(('x' * 4000000).join(['x' * 4000000, '', '', '']))\n",
    "formatted": "exec('{:99999999999}'.format(1))\n",
    "translated": "exec(('x' * 4000000).translate({120: 'y' * 4000000}))\n",
    "listed": "exec(str([list(range(999999)) for i in range(999999)]))\n",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_no_expression_makes_more_than_a_layer_may_hold(tmp_path: Path, text: str) -> None:
    """Only multiplying was bounded: strings that are added, replaced or formatted grew without end."""
    (tmp_path / "train_gpt.py").write_text(text)
    assert rules_of(tmp_path) in ({"decompression-bomb"}, {"hidden-source"})


@pytest.mark.parametrize(
    "first", [b"# coding: nosuch", b"# coding: ascii\n# \xc3\xa9", codecs.BOM_UTF8 + b"# coding: cp1252"]
)
def test_a_source_that_python_cannot_decode_is_suspect(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "train_gpt.py").write_bytes(first + b"\nprint('val_bpb:1.2')\n")
    assert "unreadable-source" in rules_of(tmp_path)


@pytest.mark.parametrize(
    "first",
    [
        b"# coding: utf8",
        b"# -*- coding: utf-8-unix -*-",
        codecs.BOM_UTF8 + b"# coding: UTF_8",
        b"# vim: set fileencoding=iso-latin-1-unix :\n# \xe9",
        b"x = 1\n# coding: nosuch",
    ],
)
def test_an_encoding_is_declared_as_python_reads_it(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "train_gpt.py").write_bytes(first + b"\nprint('val_bpb:1.2')\n")
    assert "unreadable-source" not in {finding.rule for finding in static_findings(tmp_path)}
