"""What the page shows of runs side by side: every table as rows of cells, one cell a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regrow.core.results import Result
from regrow.report import figures
from regrow.report.figures import NOT_RUN, bits, count, percent, seconds
from regrow.report.record import RunRecord


@dataclass(frozen=True)
class Cell:
    """One run's value: its text, a tone (good, bad, none or empty), its bar in percent, if it has one."""

    text: str
    tone: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class TableRow:
    """A label, a few words about it, and a cell a run. `differs`: the runs do not agree."""

    label: str
    words: str
    cells: list[Cell]
    kind: str = ""
    differs: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a title."""

    title: str
    rows: list[TableRow]


@dataclass(frozen=True)
class Headline:
    """A run's figure: `state` is proven, failed, evaluated or nothing; `sentence` says what it means,
    `command` what comes next, if anything."""

    name: str
    preset: str
    seed: int
    state: str
    figure: str
    label: str
    sentence: str
    command: str
    shrunk_percent: float | None
    facts: list[tuple[str, str, str]]


def headline(run: RunRecord) -> Headline:
    """The proven figure, or what there is instead of it and how to get there."""
    result, proof = run.result, run.result.proof
    command = f"{run.folder}/artifact.safetensors --data DIR"
    if proof is not None and proof.sha256_match:
        sentence = (
            f"The {proof.raw_bytes:,} bytes of held-out text were compressed to {proof.stream_bytes:,} "
            f"bytes, {percent(proof.stream_bytes, proof.raw_bytes)} of their size, and a fresh process that "
            "was given only the artifact and that stream decoded every byte of them."
        )
        state, figure, label = "proven", bits(proof.bpb), "bits per byte, proven"
        command = ""
    elif proof is not None:
        sentence = (
            "The text that was decoded is not the text that was encoded, so nothing about this run is proven."
        )
        state, figure, label = "failed", "not proven", "the proof failed"
        command = f"regrow prove {command}"
    elif result.bpb.blended is not None:
        sentence = (
            "By evaluation, network and memory together need this many bits for a byte of held-out text. "
            "It has not been proven by decoding yet."
        )
        command = f"regrow prove {command}"
        state, figure, label = "evaluated", bits(result.bpb.blended), "bits per byte, evaluated only"
    else:
        sentence = "The held-out text has not been scored yet."
        command = f"regrow eval {command}"
        state, figure, label = "nothing", "not run", "bits per byte"
    shrunk = (
        100 * proof.stream_bytes / proof.raw_bytes
        if state == "proven" and proof and proof.raw_bytes
        else None
    )
    facts = _headline_facts(result)
    return Headline(
        run.name, result.preset, result.seed, state, figure, label, sentence, command, shrunk, facts
    )


def _headline_facts(result: Result) -> list[tuple[str, str, str]]:
    parts = result.bytes or {}
    total, budget = parts.get("total"), parts.get("budget")
    of = f"of {budget:,} allowed" if budget else ""
    size = figures.size(total) if total is not None else NOT_RUN
    proof = result.proof
    speed = f"{count(result.tokens_per_second)} a second" if result.tokens_per_second else ""
    return [
        ("artifact", size, of),
        ("training", _short(result.seconds.train), f"{result.steps:,} steps"),
        ("tokens trained on", _tokens(result.train_tokens_seen), speed),
        ("decoding", _short(proof.decode_seconds if proof else None), "in a fresh process" if proof else ""),
    ]


def score_rows(runs: list[RunRecord]) -> list[TableRow]:
    """Bits per byte by predictor, with bars from zero on one scale."""
    entries = [
        ("neural_unquantized", "network, unquantised", "the network as it left training", "network"),
        ("neural", "network", "as stored: int8 rows on regrown bases", "network"),
        ("memory", "memory", "the n-gram memory alone", "memory"),
        ("blended", "blended", "network and memory through the mixer, evaluated", "blended"),
        ("proven", "proven", "the same, really encoded and decoded", "proven"),
        ("ttt", "adapting", "learning from text already scored, evaluated", "blended"),
        ("proven_adaptive", "adapting, proven", "the same, really encoded and decoded", "proven"),
        ("official_bytes", "parameter-golf's count", "blended, by that contest's own byte table", "other"),
    ]
    values = {key: [_score(run.result, key) for run in runs] for key, *_ in entries}
    longest = max((v for row in values.values() for v in row if v is not None), default=0.0)
    return [
        TableRow(
            label,
            words,
            [
                Cell(NOT_RUN, "none")
                if v is None
                else Cell(bits(v), "", 100 * v / longest if longest else 0.0)
                for v in values[key]
            ],
            kind,
        )
        for key, label, words, kind in entries
    ]


def difference_rows(runs: list[RunRecord]) -> list[TableRow]:
    """What follows from the scores: what quantising costs, what mixing gains, how near the proof comes."""

    def row(label: str, words: str, texts: list[str]) -> TableRow:
        return TableRow(label, words, [Cell(t, "none" if t == NOT_RUN else "") for t in texts])

    results = [run.result for run in runs]
    return [
        row("int8 round trip", "stored network less unquantised", [_gap(r) for r in results]),
        row("gained by mixing", "blended below the better part alone", [_gain(r) for r in results]),
        row("proven over evaluated", "what the coder adds", [_over(r, "proven", "blended") for r in results]),
        row("gained by adapting", "adapting below blended", [_adapted(r) for r in results]),
        row(
            "adapting, proven over evaluated",
            "what the coder adds",
            [_over(r, "proven_adaptive", "ttt") for r in results],
        ),
    ]


def proof_rows(runs: list[RunRecord], *, adaptive: bool = False) -> list[TableRow]:
    """What the round trip through the codec measured, of the fixed predictor or of the one that adapts."""
    proofs = [run.result.proof_adaptive if adaptive else run.result.proof for run in runs]

    def row(label: str, words: str, texts: list[str | None], tones: list[str] | None = None) -> TableRow:
        marks = tones or [""] * len(texts)
        pairs = zip(texts, marks, strict=True)
        return TableRow(label, words, [Cell(NOT_RUN, "none") if t is None else Cell(t, m) for t, m in pairs])

    match = [None if p is None else "identical" if p.sha256_match else "different" for p in proofs]
    tones = ["" if p is None else "good" if p.sha256_match else "bad" for p in proofs]
    return [
        row(
            "held-out text",
            "bytes, counted before tokenising",
            [None if p is None else count(p.raw_bytes) for p in proofs],
        ),
        row(
            "stream",
            "bytes the text was compressed to",
            [None if p is None else count(p.stream_bytes) for p in proofs],
        ),
        row("bits per byte", "8 × stream / text", [None if p is None else bits(p.bpb) for p in proofs]),
        row("SHA-256", "of the decoded text against the original", match, tones),
        row(
            "worst row sum error",
            "largest distance from 1 of any distribution that was coded",
            [None if p is None else f"{p.max_abs_row_sum_error:.1e}" for p in proofs],
        ),
        row("encoding", "", [None if p is None else seconds(p.encode_seconds) for p in proofs]),
        row(
            "decoding",
            "in a fresh process, from artifact and stream alone",
            [None if p is None else seconds(p.decode_seconds) for p in proofs],
        ),
        row(
            "track",
            "fixed: nothing is learned from the text; adaptive: learned after scoring",
            [None if p is None else p.track for p in proofs],
        ),
        row(
            "processes",
            "that proved a piece of the text each",
            [None if p is None else str(p.processes) for p in proofs],
        ),
    ]


def run_tables(runs: list[RunRecord]) -> list[Table]:
    """Data, time and environment."""

    def row(label: str, texts: list[str], words: str = "") -> TableRow:
        cells = [Cell(t, "none" if t == NOT_RUN else "") for t in texts]
        return TableRow(label, words, cells, differs=len(set(texts)) > 1)

    r = [run.result for run in runs]
    s = [x.seconds for x in r]
    share = [[_timed(part, x.train) for x, part in zip(s, parts, strict=True)] for parts in (
        [x.memory_count for x in s], [x.memory_score for x in s],
    )]  # fmt: skip
    return [
        Table(
            "Text",
            [
                row("corpus", [x.data.name for x in r]),
                row("training bytes", [count(x.data.train_bytes) for x in r]),
                row("training tokens", [count(x.data.train_tokens) for x in r]),
                row("held-out bytes", [count(x.data.val_bytes) for x in r]),
                row("held-out tokens", [count(x.data.val_tokens) for x in r]),
                row("held-out SHA-256", [x.data.val_sha256 for x in r]),
            ],
        ),
        Table(
            "Time",
            [
                row("training", [seconds(x.train) for x in s]),
                row("counting n-grams", share[0], "of training time"),
                row("scoring by memory", share[1], "of training time"),
                row("packing", [seconds(x.pack) for x in s]),
                row("loading", [seconds(x.load) for x in s], "bases and memory regrown"),
                row("evaluation", [seconds(x.eval) for x in s]),
                row("evaluation, adapting", [seconds(x.ttt) for x in s]),
                row("everything", [seconds(x.total) for x in s], "the whole demo; known once it has ended"),
            ],
        ),
        Table(
            "Machine and seed",
            [
                row("preset", [x.preset for x in r]),
                row("seed", [str(x.seed) for x in r], "root of every layer's; regrow inspect lists them"),
                row("steps", [count(x.steps) for x in r]),
                row("tokens seen", [count(x.train_tokens_seen) for x in r]),
                row("tokens a second", [count(x.tokens_per_second) for x in r]),
                row("device", [x.device for x in r]),
                row("threads", [str(x.threads) for x in r]),
                row("processes", [str(x.world_size) for x in r]),
                row("torch", [x.torch for x in r]),
            ],
        ),
    ]


def config_tables(runs: list[RunRecord]) -> list[Table]:
    """Every key of the runs' configs, one table a section; keys on which the runs differ are marked."""
    flat = [_flat(run.config or {}) for run in runs]
    sections: dict[str, dict[str, None]] = {}
    for table in flat:
        for section, key in table:
            sections.setdefault(section, {}).setdefault(key)
    result = []
    for section, keys in sections.items():
        rows = []
        for key in keys:
            texts = [table.get((section, key), "-") for table in flat]
            rows.append(TableRow(key, "", [Cell(t) for t in texts], differs=len(set(texts)) > 1))
        result.append(Table(section, rows))
    return result


def _flat(config: dict[str, Any]) -> dict[tuple[str, str], str]:
    flat: dict[tuple[str, str], str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= {(name, key): _value(inner) for key, inner in value.items()}
        else:
            flat[("run", name)] = _value(value)
    return flat


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def _score(result: Result, key: str) -> float | None:
    if key in ("proven", "proven_adaptive"):
        proof = result.proof if key == "proven" else result.proof_adaptive
        return proof.bpb if proof is not None and proof.sha256_match else None
    value: float | None = getattr(result.bpb, key)
    return value


def _gap(result: Result) -> str:
    before, after = result.bpb.neural_unquantized, result.bpb.neural
    return NOT_RUN if before is None or after is None else f"{after - before:+.4f}"


def _gain(result: Result) -> str:
    bpb = result.bpb
    if bpb.blended is None or bpb.neural is None or bpb.memory is None:
        return NOT_RUN
    best = min(bpb.neural, bpb.memory)
    return f"{bpb.blended - best:+.4f} ({100 * (bpb.blended / best - 1):+.1f} %)"


def _adapted(result: Result) -> str:
    before, after = result.bpb.blended, result.bpb.ttt
    return NOT_RUN if before is None or after is None else f"{after - before:+.4f}"


def _over(result: Result, proof: str, score: str) -> str:
    proven, evaluated = _score(result, proof), _score(result, score)
    if proven is None or not evaluated:
        return NOT_RUN
    return f"{proven - evaluated:+.4f} ({100 * (proven / evaluated - 1):+.2f} %)"


def _timed(part: float | None, whole: float | None) -> str:
    return seconds(part) + (f", {percent(part, whole, 2)}" if part is not None and whole else "")


def _short(value: float | None) -> str:
    return seconds(value).split(" (")[0]


def _tokens(value: int) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value:,}"
