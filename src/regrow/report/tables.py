"""The page's tables of runs side by side: rows of cells, one cell a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from regrow.core.results import Proof, Result
from regrow.report.formats import NOT_RUN, bits, count, percent, seconds
from regrow.report.run_files import RunFiles

T = TypeVar("T")


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


# A row to be: its label, a few words about it, and its text of one run (None: not run).
Row = tuple[str, str, Callable[[T], str | Cell | None]]


def _rows(items: Sequence[T | None], rows: Iterable[Row[T]], *, mark: bool = False) -> list[TableRow]:
    """`mark`: whether to mark the rows in which the runs differ."""
    made = []
    for label, words, text_of in rows:
        cells = [_cell(None if item is None else text_of(item)) for item in items]
        made.append(TableRow(label, words, cells, differs=mark and len({c.text for c in cells}) > 1))
    return made


def _cell(text: str | Cell | None) -> Cell:
    if isinstance(text, Cell):
        return text
    return Cell(NOT_RUN, "none") if text in (None, NOT_RUN) else Cell(str(text))


_SCORES = [  # key of the score, label, words, colour
    ("neural_unquantized", "network, unquantised", "the network as it left training", "network"),
    ("neural", "network", "as stored: int8 rows on regenerated bases", "network"),
    ("memory", "memory", "the n-gram memory alone", "memory"),
    ("blended", "mixture", "network and memory through the mixer, evaluated", "mixture"),
    ("proven", "proven", "the same, really encoded and decoded", "proven"),
    ("ttt", "adaptive", "trained on text already scored, evaluated", "mixture"),
    ("proven_adaptive", "adaptive, proven", "the same, really encoded and decoded", "proven"),
    ("official_bytes", "parameter-golf's count", "mixture, by that contest's own byte table", "other"),
]


_MADE = ("date", "command", "commit", "cpu", "python", "regrow")
_IF_ANY = {"gained by mixing", "lost by mixing", "kept in the artifact", *_MADE}


def _answered(rows: list[TableRow]) -> list[TableRow]:
    """Without the rows that many runs do not have, and of which "not run" would say nothing."""
    return [
        row
        for row in rows
        if row.label not in _IF_ANY or any(cell.text not in (NOT_RUN, "-") for cell in row.cells)
    ]


def score_rows(runs: list[RunFiles]) -> list[TableRow]:
    """Bits per byte by predictor, then of general-purpose compressors on the same text, with bars from zero on one
    scale for all runs on the same text."""
    values = {key: [_score(run.result, key) for run in runs] for key, *_ in _SCORES}
    found = [run.result.baselines or {} for run in runs]
    others = [
        (name, name, "a general-purpose compressor", "other")
        for name in {n: None for one in found for n in one}
    ]
    values |= {name: [one.get(name) for one in found] for name, *_ in others}
    texts = [run.result.data.val_sha256 for run in runs]
    longest = dict.fromkeys(texts, 0.0)
    for row in values.values():
        for text, value in zip(texts, row, strict=True):
            longest[text] = max(longest[text], value or 0.0)
    return [
        TableRow(
            label,
            words,
            [
                _cell(None) if v is None else Cell(bits(v), "", 100 * v / (longest[text] or 1.0))
                for v, text in zip(values[key], texts, strict=True)
            ],
            kind,
        )
        for key, label, words, kind in [*_SCORES, *reversed(others)]
    ]


def difference_rows(runs: list[RunFiles]) -> list[TableRow]:
    """What follows from the scores: what quantising costs, what mixing gains, how near the proof comes."""
    rows = _rows([run.result for run in runs], [
        ("int8 round trip", "stored network less unquantised", lambda r: _gap(r, "neural", "neural_unquantized")),
        ("gained by mixing", "mixture below the better part alone", lambda r: _mixing(r, gained=True)),
        ("lost by mixing", "mixture above the better part alone", lambda r: _mixing(r, gained=False)),
        ("kept in the artifact", "the best of these by held-out text", _kept),
        ("perplexity", "of the mixture, per token of the run's own vocabulary", _perplexity),
        ("proven over evaluated", "what the coder adds", lambda r: _over(r, "proven", "blended")),
        ("gained by adapting", "adaptive below mixture", _adapting),
        ("adaptive, proven over evaluated", "what the coder adds", lambda r: _over(r, "proven_adaptive", "ttt")),
    ])  # fmt: skip
    return _answered(rows)


_PROOF: list[Row[Proof]] = [
    ("held-out text", "bytes, counted before tokenising", lambda p: count(p.raw_bytes)),
    ("stream", "bytes the text was compressed to", lambda p: count(p.stream_bytes)),
    ("bits per byte", "8 × stream / text", lambda p: bits(p.bpb)),
    (
        "SHA-256",
        "of the decoded text against the original",
        lambda p: Cell("identical", "good") if p.sha256_match else Cell("different", "bad"),
    ),
    ("max abs(sum p - 1)", "over all distributions that were coded", lambda p: f"{p.max_abs_row_sum_error:.1e}"),
    ("encoding", "", lambda p: seconds(p.encode_seconds)),
    ("decoding", "in a fresh process, from artifact and stream alone", lambda p: seconds(p.decode_seconds)),
    ("track", "fixed: nothing is learned from the text; adaptive: trained after scoring", lambda p: p.track),
    ("processes", "each proved a piece of the text", lambda p: count(p.processes)),
]  # fmt: skip


def proof_rows(proofs: Sequence[Proof | None]) -> list[TableRow]:
    """What the round trip through the codec measured."""
    return _rows(proofs, _PROOF)


def _made(key: str) -> Callable[[Result], str | None]:
    return lambda r: (r.made or {}).get(key)


_RUN_TABLES: list[tuple[str, list[Row[Result]]]] = [
    ("Text", [
        ("corpus", "", lambda r: r.data.name),
        ("training bytes", "", lambda r: count(r.data.train_bytes)),
        ("training tokens", "", lambda r: count(r.data.train_tokens)),
        ("held-out bytes", "", lambda r: count(r.data.val_bytes)),
        ("held-out tokens", "", lambda r: count(r.data.val_tokens)),
        ("held-out SHA-256", "", lambda r: r.data.val_sha256),
    ]),
    ("Time", [
        ("reading and tokenising", "", lambda r: seconds(r.seconds.data)),
        ("compiling, first steps", "before the clock of training runs", lambda r: seconds(r.seconds.warm_up)),
        ("training", "", lambda r: seconds(r.seconds.train)),
        ("counting n-grams", "of training time", lambda r: _timed(r.seconds.memory_count, r.seconds.train)),
        ("scoring by memory", "of training time", lambda r: _timed(r.seconds.memory_score, r.seconds.train)),
        ("scoring before quantisation", "", lambda r: seconds(r.seconds.score)),
        ("packing", "", lambda r: seconds(r.seconds.pack)),
        ("loading", "bases regenerated, memory decoded", lambda r: seconds(r.seconds.load)),
        ("evaluation", "", lambda r: seconds(r.seconds.eval)),
        ("evaluation, adaptive", "", lambda r: seconds(r.seconds.ttt)),
        ("everything", "the whole demo; known once it has ended", lambda r: seconds(r.seconds.total)),
    ]),
    ("Machine and seed", [
        ("preset", "", lambda r: r.preset),
        ("seed", "root of every layer's; regrow inspect lists them", lambda r: str(r.seed)),
        ("steps", "", lambda r: count(r.steps)),
        ("tokens seen", "", lambda r: count(r.train_tokens_seen)),
        ("tokens per second", "", lambda r: count(r.tokens_per_second)),
        *((key, "", _made(key)) for key in _MADE),
        ("device", "", lambda r: r.device),
        ("threads", "", lambda r: str(r.threads)),
        ("processes", "", lambda r: str(r.world_size)),
        ("torch", "", lambda r: r.torch),
    ]),
]  # fmt: skip


def run_tables(runs: list[RunFiles]) -> list[Table]:
    """Data, time and environment."""
    results = [run.result for run in runs]
    return [Table(title, _answered(_rows(results, rows, mark=True))) for title, rows in _RUN_TABLES]


def config_tables(runs: list[RunFiles]) -> list[Table]:
    """Every key of the runs' configs, one table a section; keys on which the runs differ are marked."""
    configs = [_flat(run.config or {}) for run in runs]
    sections: dict[str, dict[str, None]] = {}
    for section, key in (place for config in configs for place in config):
        sections.setdefault(section, {})[key] = None
    return [
        Table(section, _rows(configs, [(key, "", _getter((section, key))) for key in keys], mark=True))
        for section, keys in sections.items()
    ]


def _getter(place: tuple[str, str]) -> Callable[[dict[tuple[str, str], str]], str]:
    return lambda config: config.get(place, "-")


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


def _gap(result: Result, after: str, before: str) -> str | None:
    a, b = _score(result, after), _score(result, before)
    return None if a is None or b is None else f"{round(a - b, 4) + 0.0:+.4f}"  # no -0.0000


def _over(result: Result, after: str, before: str, decimals: int = 2) -> str | None:
    gap, b = _gap(result, after, before), _score(result, before)
    return f"{gap} ({100 * ((_score(result, after) or 0.0) / b - 1):+.{decimals}f} %)" if gap and b else None


def _adapting(result: Result) -> str | None:
    """As evaluated, else as proven: an adaptive proof needs no evaluation before it."""
    return _gap(result, "ttt", "blended") or _gap(result, "proven_adaptive", "proven")


def _mixing(result: Result, *, gained: bool) -> str | None:
    bpb = result.bpb
    if bpb.neural is None or bpb.memory is None or bpb.blended is None:
        return None
    better = "neural" if bpb.neural < bpb.memory else "memory"
    is_gain = bpb.blended <= min(bpb.neural, bpb.memory)
    return _over(result, "blended", better, 1) if is_gain == gained else "-"


def _perplexity(result: Result) -> str | None:
    """2 to the bits per token, of which the held-out text has its bits per byte times its bytes."""
    data, bpb = result.data, result.bpb.blended
    if bpb is None or not data.val_tokens:
        return None
    return f"{2 ** min(64.0, bpb * data.val_bytes / data.val_tokens):.2f}"


def _kept(result: Result) -> str | None:
    """Which parts `pack.keep = "best"` kept, and what each of them cost."""
    if not result.kept or not result.candidates:
        return None
    parts = sorted(result.candidates.items(), key=lambda part: part[1])
    return f"{result.kept} ({', '.join(f'{name} {bits(bpb)}' for name, bpb in parts)})"


def _timed(part: float | None, whole: float | None) -> str:
    # Two steps of a test run take less than counting its text: no share then.
    return seconds(part) + (
        f", {percent(part, whole, 2)}" if part is not None and whole and part <= whole else ""
    )
