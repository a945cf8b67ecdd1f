"""The tables of docs/, each made of the newest dated result of its bench; those of bases and of several processes have
files of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.dated import Found, newest, of_each_text, of_text
from benchmarks.forms import WHOLE
from benchmarks.published import label
from benchmarks.seeds import Row


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown: the first column to the left, figures to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]


def columns(rows: Iterable[Row], *spec: tuple[str, str | Callable[[Row], Any], str]) -> list[str]:
    """A table of rows. Of each column: its title, a key of a row or a function of it, and a format; None is empty."""

    def cell(row: Row, what: str | Callable[[Row], Any], form: str) -> str:
        value = row[what] if isinstance(what, str) else what(row)
        return "" if value is None else f"{value:{form}}"

    return table(
        [title for title, _, _ in spec], [[cell(row, what, form) for _, what, form in spec] for row in rows]
    )


def setting(results: Path, name: str) -> list[str]:
    """In a sentence, which result of bench NAME is shown, on what machine and text."""
    return _setting(newest(name, results))


def _setting(found: Found) -> list[str]:
    machine, text = found["machine"], found.get("text") or found["data"]
    facts = {
        "regrow": found.get("version"),
        **{key: machine.get(key) for key in ("torch", "device", "cores", "threads")},
    }
    told = [f"`bench/results/{found['file']}`", *(f"{key} {value}" for key, value in facts.items() if value)]
    told += [f"text `{text['name']}`", f"{text['train_tokens']:,} training tokens"]
    told += [f"{text['val_bytes']:,} held-out bytes"] if "val_bytes" in text else []
    told += [f"vocabulary {n:,}" for n in [text.get("vocab_size", found.get("vocab_size"))] if n]
    warning = "**A quick run, to see that the bench works: its figures mean nothing.** "
    return [(warning if found.get("size") == "quick" else "") + f"Measured: {', '.join(told)}."]


def kenlm(results: Path, _: str) -> list[str]:
    """The memory beside KenLM and tokengrams, as far as they were installed, and other figures of the same run."""
    found = newest("ngram", results)
    ours, theirs, index, growth = found["ours"], found["kenlm"] or {}, found["tokengrams"], found["growth"]
    long = ours["long"]
    rows = [
        ("building, seconds", ours["seconds"], theirs.get("estimate_seconds"), ".1f"),
        ("  by tokengrams, which estimates nothing", None, index and index["seconds"], ".1f"),
        ("peak memory, bytes", ours["peak_bytes"], theirs.get("estimate_peak_bytes"), ","),
        ("stored, bytes", ours["text_bytes"], theirs.get("trie_bytes"), ","),
        ("bits per byte", ours["bpb"], theirs.get("bpb"), ".4f"),
        ("  with discounts estimated as KenLM does it", ours["bpb_estimated"], None, ".4f"),
        (f"  order {long['order']}", long["bpb"], None, ".4f"),
        (f"  order {long['order']}, adaptive", long["bpb_adapting"], None, ".4f"),
        ("full distributions, rows per second", ours["rows_per_second"], None, ",.0f"),
        ("an added token, microseconds, at first", growth["first_hundredth_us"], None, ".2f"),
        (f"  at {growth['tokens'] / 1e6:.0f} M tokens", growth["last_tenth_us"], None, ".2f"),
    ]
    cells = [["" if x is None else f"{x:{form}}" for x in (ours, theirs)] for _, ours, theirs, form in rows]
    ratios = [f"{b / a:.1f}" if a and b and form != ".4f" else "" for _, a, b, form in rows]
    told = [[row[0].strip(), *pair, ratio] for row, pair, ratio in zip(rows, cells, ratios, strict=True)]
    return table(["what", "regrow", "peer", "ratio"], told)


def forms(results: Path, _: str) -> list[str]:
    """The two stored forms by allowance."""
    rows = newest("forms", results)["rows"]
    text = {row["allowance"]: row for row in rows if row["form"] == "text"}

    def of(key: str) -> Callable[[Row], Any]:
        return lambda row: text.get(row["allowance"], {}).get(key)

    return columns(
        (row for row in rows if row["form"] == "table"),
        ("allowed", lambda r: "whole" if r["allowance"] == WHOLE else f"{r['allowance'] / 1e6:g} MB", ""),
        ("table: bytes", "bytes", ","), ("n-grams", "entries", ","), ("load, s", "load_seconds", ".1f"),
        ("bits per byte", "bpb", ".4f"), ("text: bytes", of("bytes"), ","), ("load, s", of("load_seconds"), ".1f"),
        ("bits per byte", of("bpb"), ".4f"),
    )  # fmt: skip


def prefill(results: Path, _: str) -> list[str]:
    """Counting ahead of training or while it goes on."""
    return columns(
        newest("prefill", results)["arms"], ("counted", "arm", ""), ("mixture", "bpb", ".4f"),
        ("memory", "memory_bpb", ".4f"), ("network", "neural_bpb", ".4f"), ("tokens trained on", "tokens_seen", ","),
        ("memory, bytes", "memory_bytes", ","), ("counting ahead, s", "count_seconds_ahead", ".2f"),
    )  # fmt: skip


def adaptive(results: Path, text: str) -> list[str]:
    """A text under every arm."""
    found = of_text(text, results)
    fixed, machine = found["arms"][0]["bpb"], found["machine"]

    def proven(key: str) -> Callable[[Row], Any]:
        return lambda arm: found["proofs"].get(arm["name"], {}).get(key)

    return [
        f"Measured: `bench/results/{found['file']}`, regrow {found['version']}, torch {machine['torch']}, "
        f"device {machine['device']}, threads {machine['threads']}; {found['raw_bytes']:,} bytes, "
        f"{found['tokens']:,} tokens, an artifact of "
        f"{found['artifact_bytes']:,} bytes. Fixed: {found['streams']} streams; windows move by {found['stride']} "
        f"tokens; adaptive: {found['settings']}. Recent text and mixer without network and stored memory: "
        f"{found['memory_tokens_per_second']:,.0f} tokens per second.",
        "",
        *columns(
            found["arms"], ("arm", "name", ""), ("bits per byte", "bpb", ".4f"),
            ("saved", lambda arm: fixed - arm["bpb"], "+.4f"), ("proven", proven("bpb"), ".4f"),
            ("scoring, s", "seconds", ".1f"), ("encoding, s", proven("encode_seconds"), ".0f"),
            ("decoding, s", proven("decode_seconds"), ".0f"),
        ),
    ]  # fmt: skip


def published(results: Path, stand_in: str) -> list[str]:
    """Every filling of the published cache with a stand-in for the network."""
    return columns(
        ({**f, **f["scores"][stand_in]} for f in newest("published", results)["fillings"]),
        ("tables filled with", label, ""), ("counts", "counts", ","),
        ("published score (not a probability)", "published_bits", ".4f"), ("Z mean", "z_mean", ".2f"),
        ("Z min", "z_min", ".2f"), ("Z max", "z_max", ".2f"), ("honest bits per byte", "honest_bpb", ".4f"),
        ("stand-in alone", "base_bpb", ".4f"), ("exact memory", "exact_bpb", ".4f"),
    )  # fmt: skip


def cache_bytes(results: Path, _: str) -> list[str]:
    """What the published cache's tables take when stored."""
    return columns(
        (f for f in newest("published", results)["fillings"] if f["stored_bytes"] is not None),
        ("tables filled with", label, ""), ("bytes", "stored_bytes", ","), ("buckets in use", "in_use", ".1%"),
        ("buckets at 65,535", "full", ".1%"),
    )  # fmt: skip


def records(results: Path, text: str) -> list[str]:
    """Records of a text beside zstd; the log's are of a run of its own, on a machine that did nothing else."""
    found = newest({"JSON log": "records-log", "loghub": "records-text"}.get(text, "records"), results)
    one = next(part for part in found["texts"] if part["name"] == text)
    ours, count, raw = one["rows"][0], one["records"], one["raw_bytes"]
    speeds = ("encoded_per_second", "decoded_per_second") if text == "JSON log" else ()
    return [
        f"Measured: `bench/results/{found['file']}`, {found['machine']['cores']} cores; {count:,} unseen records of "
        f"{raw / count:.1f} bytes, after {one['train_lines']:,} lines of {one['train_bytes']:,} bytes. regrow: "
        f"{ours['bits'] / 8 / count:.2f} bytes of bits a record, {ours['file_bytes'] / count:.2f} in a file with its "
        "index.", "",
        *columns(
            one["rows"], ("", "codec", ""), ("model, bytes", "model_bytes", ","),
            ("bytes a record", lambda row: row["bytes"] / count, ".2f"), ("share", lambda r: r["bytes"] / raw, ".1%"),
            *((f"{key.split('_')[0]} a second", key, ",.0f") for key in speeds),
        ),
    ]  # fmt: skip


def quality(results: Path, _: str) -> list[str]:
    """A section for each text that was measured."""
    lines = []
    for found in of_each_text("quality", results):
        text = found["held_out"]
        trained = [
            f"{name} on {of['tokens']:,} tokens in {of['seconds']:.0f} s"
            for name, of in found["training"].items()
        ]
        lines += [
            f"## {text['name']}", "", *_setting(found),
            f"Preset `{found['preset']}`, an artifact of {found['artifact_bytes']:,} bytes. "
            f"Trained: {', '.join(trained)}. Held out: {text['raw_bytes']:,} bytes, {text['tokens']:,} tokens.",
            *_official(found), "",
            *columns(
                text["rows"], ("what", "name", ""), ("bits per byte", "bpb", ".4f"),
                ("a decoder needs, bytes", "decoder_bytes", ","),
            ), "",
        ]  # fmt: skip
    return lines or ["Not measured yet."]


def _official(found: Found) -> list[str]:
    """The challenge's count of the held-out text, where it was asked for."""
    count, raw = found["held_out"]["official"], found["held_out"]["raw_bytes"]
    if count is None:
        return []
    return [
        f"The challenge's count of it, by `{found['official']}`: {count['documents']:,} documents, {count['tokens']:,} "
        f"tokens to predict, {count['bytes']:,} bytes, by which the figures below are {raw / count['bytes']:.4f} times "
        "as large."
    ]
