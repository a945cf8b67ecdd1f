"""The bench of the n-gram memory: what it hands to peers, what it reads from them, and the keys scripts rely on."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import forms, merge, ngram, peers, prefill, scaling
from benchmarks.peers import run_child
from benchmarks.texts import bench_data
from regrow.core.errors import EnvironmentProblem
from regrow.core.progress import Silent
from regrow.ngram.counts.ngram_counts import NgramCounts

CONTRACT = {
    "build_seconds", "build_ratio", "peak_memory_ratio", "bytes", "bytes_ratio", "bpb", "peer_bpb",
    "memory_bpb_at_14mb", "rows_per_second",
}  # fmt: skip


def test_a_peer_reads_a_document_per_line(tmp_path: Path) -> None:
    peers.write_tokens(tmp_path / "t", np.array([1, 7, 8, 1, 9, 1, 5], np.uint16), bos_id=1)
    assert (tmp_path / "t").read_bytes() == b"7 8\n9\n5\n"
    peers.write_tokens(tmp_path / "t", np.array([7, 8], np.uint16), bos_id=1)
    assert (tmp_path / "t").read_bytes() == b"7 8\n"


KENLM = """#!{python}
import pathlib, sys
name, args = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
if name == "lmplz":
    pathlib.Path(args[args.index("--arpa") + 1]).write_text("\\\\data\\\\\\nngram 1=3\\nngram 2=4\\n\\n\\\\1-grams:\\n")
elif name == "build_binary":
    pathlib.Path(args[-1]).write_bytes(b"x" * 123)
else:
    print("5=7 1 -1.5\\t6=8 2 -0.25\\t</s>=2 1 -9.0\\tTotal: -10.75 OOV: 0")
"""


def test_kenlm_is_read_without_its_end_of_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that print what KenLM prints, in the place of KenLM's."""
    for name in peers.KENLM_PROGRAMS:
        program = tmp_path / name
        program.write_text(KENLM.format(python=sys.executable))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peers.kenlm_missing() == []
    text = tmp_path / "text"
    text.write_text("5 6\n")
    found = peers.run_kenlm(tmp_path, text, text, 6)
    assert (found.ngrams, found.trie_bytes) == (7, 123)
    assert found.bits == pytest.approx(1.75 / np.log10(2))


def test_a_peer_that_fails_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"failed .*no such luck"):
        run_child([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path / "out")


def texts(folder: Path) -> tuple[Path, Path]:
    text = "".join(f"the {i * i % 97} of {i % 7} and {i % 31}.\n" for i in range(4000))
    (folder / "train.txt").write_text("\f\n".join(text[i : i + 9000] for i in range(0, len(text), 9000)))
    (folder / "val.txt").write_text(text[500:5000])
    return folder / "train.txt", folder / "val.txt"


def test_forms_are_told_by_name_and_allowance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "ALLOWANCES", (3000,))
    with bench_data(*texts(tmp_path), 300, Silent()) as data:
        told = forms.summary(forms.measure(data, forms.SIZES[""], Silent()))
    assert set(told) == {"table 0", "text 0", "table whole", "text whole"}
    assert told["table 0"]["bytes"] <= 3000 and told["text 0"]["bytes"] <= 3000
    assert told["table whole"]["bpb"] < told["table 0"]["bpb"] < 8


@pytest.mark.slow  # torchrun, and torch in each of its processes
def test_merging_is_told_beside_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes really count and merge, and come to what one process counts."""
    monkeypatch.setattr(merge, "_ROUNDS", 1)
    with bench_data(*texts(tmp_path), 300, Silent()) as data:
        told = merge.summary(merge.measure(data, merge.SIZES[""], Silent()))
    assert told["round 1"]["counts_of_one_process"] is True
    assert told["round 1"]["sent_of_own_table"] > 0 and told["round 1"]["merge_of_counting"] > 0


def test_the_stream_grows_to_its_length_and_stays_under_the_cap() -> None:
    tokens = np.random.default_rng(0).integers(2, 200, 5000).astype(np.uint16)
    found = ngram.growth(tokens, NgramCounts(256, 3, 400_000, bos_id=1), 300_000)
    assert found["tokens"] >= 300_000 and found["bytes"] <= 400_000 and found["error_bound"] > 0
    assert found["ratio"] > 0


def test_without_peers_the_bench_tells_our_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ngram, "_REPEATS", 1)
    with bench_data(*texts(tmp_path), 300, Silent()) as data:
        found = ngram.measure(data, ngram.Size(300, stream_tokens=100_000), Silent())
    told = ngram.summary(found)
    assert set(told) >= CONTRACT
    assert told["build_ratio"] is None and found["kenlm"] is None
    assert (
        0 < told["memory_bpb_adapting"] < told["bpb"] < 8
        and told["bytes"] > 0
        and told["rows_per_second"] > 0
    )


def test_every_arm_of_prefill_trains_packs_and_is_scored(tmp_path: Path) -> None:
    quick = prefill.SIZES["quick"]
    with bench_data(*texts(tmp_path), quick.vocab_size, Silent()) as data:
        told = prefill.summary(prefill.measure(data, quick, Silent()))
    assert set(told) == {"while", "ahead", "ahead, in parallel"}
    assert all(0 < arm["bpb"] < 8 and arm["tokens_seen"] > 0 for arm in told.values())
    assert told["while"]["count_seconds_ahead"] == 0 < told["ahead"]["count_seconds_ahead"]


def test_one_core_is_measured_at_five_sizes(tmp_path: Path) -> None:
    with bench_data(*texts(tmp_path), 300, Silent()) as data:
        found = scaling.measure(data, scaling.SIZES[""], Silent())
    assert [size["tokens"] for size in found["counting"]][-1] == len(data.train_tokens)
    assert all(a["keys"] < b["keys"] for a, b in itertools.pairwise(found["counting"]))
    assert all(rate > 0 for rate in scaling.summary(found).values())
