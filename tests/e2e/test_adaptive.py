"""Adapting through the command line: evaluated, proven, coded, and refused where it does not fit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.e2e.conftest import make_text
from tests.e2e.forks import ForkServer

from benchmarks.pages import filled

SMALL = ("--set", "eval.adapt_streams=4", "--set", "eval.ttt_chunk_tokens=256")


def test_an_adaptive_score_is_proven_beside_the_fixed_one(server: ForkServer, run: Path, data: Path) -> None:
    artifact = run / "artifact.safetensors"
    scored = server.json("eval", artifact, "--data", data, "--ttt", *SMALL)
    fixed = server.json("prove", artifact, "--data", data)
    proof = server.json("prove", artifact, "--data", data, "--ttt", *SMALL)
    assert proof["sha256_match"] is True and proof["track"] == "adaptive"
    assert proof["max_abs_row_sum_error"] <= 1e-6
    header = 8 * 160 / proof["raw_bytes"]  # on so short a text the stream's header shows
    assert abs(proof["bpb"] - scored["bpb"]["ttt"] - header / 2) <= header / 2 + 0.002 * proof["bpb"]
    assert proof["bpb"] < fixed["bpb"]
    result = json.loads((run / "result.json").read_text())
    assert result["proof"]["track"] == "fixed" and result["proof_adaptive"]["track"] == "adaptive"
    assert result["bpb"]["ttt"] == scored["bpb"]["ttt"] < result["bpb"]["blended"]


def test_a_stream_says_how_it_was_made_and_another_way_is_refused(
    server: ForkServer, run: Path, data: Path, tmp_path: Path
) -> None:
    artifact, text = run / "artifact.safetensors", tmp_path / "text"
    text.write_bytes((data / "val.txt").read_bytes()[:150])  # of which nothing but the artifact makes less
    adaptive, fixed, back = tmp_path / "a", tmp_path / "f", tmp_path / "back"
    assert server.run("compress", artifact, text, "-o", adaptive, "--ttt", *SMALL).fine
    assert server.run("compress", artifact, text, "-o", fixed).fine
    how: tuple[str, ...]
    for stream, how in ((adaptive, ()), (adaptive, ("--ttt", *SMALL)), (fixed, ()), (fixed, ("--no-ttt",))):
        assert server.run("decompress", artifact, stream, "-o", back, *how).fine
        assert back.read_bytes() == text.read_bytes()
        back.unlink()
    for stream, how, word in (
        (adaptive, ("--no-ttt",), "adapts"),
        (fixed, ("--ttt", *SMALL), "does not adapt"),
        (
            adaptive,
            ("--ttt", "--set", "eval.adapt_streams=5"),
            "other settings",
        ),
    ):
        done = server.run("decompress", artifact, stream, "-o", back, *how)
        assert done.codes == [2] and word in done.said[0] and "Traceback" not in done.said[0]
        assert not back.exists()
    # Any byte of the header spoilt: an error and nothing written, or (a capacity that was not reached) the text itself.
    content = adaptive.read_bytes()
    for at in range(0, 20, 3):
        (tmp_path / "bad").write_bytes(content[:at] + bytes([content[at] ^ 0x15]) + content[at + 1 :])
        done = server.run("decompress", artifact, tmp_path / "bad", "-o", back)
        if done.fine:
            assert back.read_bytes() == text.read_bytes() and at > 12
            back.unlink()
        else:
            assert done.codes == [2] and "Traceback" not in done.said[0] and not back.exists()


def test_any_bytes_come_back_from_an_adaptive_stream(server: ForkServer, run: Path, tmp_path: Path) -> None:
    artifact = run / "artifact.safetensors"
    nasty = bytes(range(256)) * 9 + make_text(3, 500).encode()
    for name, content in {"empty": b"", "one": b"\x00", "nasty": nasty}.items():
        (tmp_path / name).write_bytes(content)
        done = server.run("compress", artifact, tmp_path / name, "-f", "-o", tmp_path / "s", "--ttt", *SMALL)
        assert done.fine, done.said[0]
        assert server.run("decompress", artifact, tmp_path / "s", "-f", "-o", tmp_path / "back").fine
        assert hashlib.sha256((tmp_path / "back").read_bytes()).digest() == hashlib.sha256(content).digest()


def test_documents_are_scored_without_each_other(server: ForkServer, run: Path, tmp_path: Path) -> None:
    artifact = run / "artifact.safetensors"
    one, two = make_text(21, 500), make_text(22, 700)
    for name, content in (
        ("one", one + "\f"),
        ("two", two),
        ("both", one + "\f" + two),
        ("swapped", two + "\f" + one),
    ):
        (tmp_path / name).write_text(content)

    def bits(name: str, *how: object) -> float:
        scored = server.json("eval", artifact, "--data", tmp_path / name, *how)
        return float(scored["bpb"]["blended"]) * (tmp_path / name).stat().st_size

    for how in (("--stride", 16), ("--stride", 0)):
        apart = bits("one", *how) + bits("two", *how)
        assert abs(bits("both", "--reset-at", r"\f", *how) - apart) < 1e-3 * apart


def test_settings_that_do_not_fit_are_named(
    server: ForkServer, run: Path, data: Path, tmp_path: Path
) -> None:
    artifact = run / "artifact.safetensors"

    def refused(*arguments: object) -> str:
        done = server.run("eval", artifact, "--data", data, *arguments)
        assert done.codes == [2] and "Traceback" not in done.said[0], done.said[0]
        errors = [line for line in done.said[0].splitlines() if line.startswith("regrow: error: ")]
        assert len(errors) == 1 and len(done.said[0].splitlines()) <= 2
        return errors[0]

    ttt = ("--ttt", "--set", "eval.ttt=adapters", "--set", "eval.adapt_streams=4", "--set")
    assert "eval.ttt_chunk_tokens is 0" in refused(*ttt, "eval.ttt_chunk_tokens=0")
    assert "multiple of 128" in refused(*ttt, "eval.ttt_chunk_tokens=200")
    assert "fewer than one chunk" in refused(*ttt, "eval.ttt_chunk_tokens=1280000")
    assert "only keys of [eval]" in refused(*ttt, "train.seed=3")
    assert "--ttt" in refused("--set", "eval.ttt=none")
    assert "--stride 65" in refused("--stride", 65)
    assert "give one of them" in refused("--reset-at", "a", "--ttt")
    assert "--reset-at" in refused("--reset-at", "no such text")
    (tmp_path / "short").write_text("a b")
    done = server.run("eval", artifact, "--data", tmp_path / "short", "--stride", 32)
    assert done.codes == [2] and "longer than the text" in done.said[0]


def test_the_bench_measures_every_arm_and_its_page_shows_them(
    server: ForkServer, run: Path, data: Path, tmp_path: Path
) -> None:
    """On an artifact that is there already; what is proven is what was evaluated, and the page says so."""
    ended = server.run(
        "bench", "adaptive", "--artifact", run / "artifact.safetensors", "--val", data / "val.txt", "--json", "--quiet",
        folder=tmp_path,
    )  # fmt: skip
    assert ended.fine, ended.said
    told = json.loads(ended.said[0].splitlines()[-1])
    assert {"fixed", "windows", "few streams", "memory"} <= set(told["bpb"])
    assert told["bpb"]["memory"] < told["bpb"]["few streams"]
    header = 8 * 160 / (data / "val.txt").stat().st_size
    for arm, proven in told["proven"].items():
        assert 0 < proven - told["bpb"][arm] * 0.998 < header + 0.004
    result = Path(told["result"])
    assert result.parent == tmp_path / "bench" / "results"
    page = filled("<!-- table: adaptive val.txt -->\n<!-- end -->\n", result.parent)
    assert all(f"| {arm} | {bpb:.4f} | " in page for arm, bpb in told["bpb"].items())
