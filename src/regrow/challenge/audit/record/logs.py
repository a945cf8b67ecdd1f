"""Reading a training log: which figures stand on which line, with which seed, settings and sizes.

Logs in the wild begin with the whole script, are cut off, carry progress bars, and spell one thing ten ways.
So a line counts only where it has the shape of a printed figure (`name:value` or `name=value` with a number),
never where it looks like source; and nothing here raises over what a log contains.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from regrow.challenge.audit.record.possible import FIGURE, NUMBER, impossible

_LINE_AT_MOST = 4_000
_FIGURE = re.compile(rf"(?<![A-Za-z0-9_])([A-Za-z_]*(?:bpb|BPB)[A-Za-z_]*)\s*[:=]\s*\**({NUMBER})")
_EXACT = re.compile(rf"(?<![A-Za-z_])exact\s*[:=]\s*({NUMBER})")
_PLAIN_FIGURE = re.compile(
    rf"(?<![A-Za-z0-9_])(val_bpb|val_loss|bits_per_byte)\s*[:=]\s*\**({FIGURE})", re.IGNORECASE
)
_LOSS = re.compile(rf"(?<![A-Za-z0-9])((?:[A-Za-z_]*_)?(?:val_)?loss)\s*[:=]\s*({NUMBER})")
_COUNTED_BYTES = re.compile(
    r"(?<![A-Za-z_])(?:bytes|N_bytes|n_bytes|byte_count|total_bytes)\s*[:=]\s*([\d,]{4,})"
)
_SOURCE = re.compile(
    r"""[{}]|\bf"|\bf'|^\s*(?:def|class|import|from|return|if|for|with|print|log\w*\(|#|assert|elif|while)\b"""
)
_PROGRESS = re.compile(
    r"running_|batch_(?:bpb|loss)|chunk\s*\[|\d%\]|\[\s*\d+/\d+\]|progress|ttp:|batch\s+\d+/\d+|windows=\d+/\d+"
)
_STEP = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?(?:step\s*[:=]?\s*)?\d+\s*/\s*\d+|^\s*step\s*[:=]?\s*\d+")
_SEED = re.compile(r"(?:^|[\s,(])seed\s*[:=]\s*(\d+)\b", re.IGNORECASE)
_VAL_TOKENS = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?(?:val_loader:.*?tokens:|val_tokens\s*[:=]\s*)([\d,]+)")
_TOKENIZER = re.compile(r"tokenizer_path\s*[:=]\s*(\S+)")
_TOTAL = re.compile(
    r"(?:total\s+submission\s+size|submission\s+size|total\s+artifact|artifact\s+total|total\s+size)"
    r"[^:=]{0,60}[:=]\s*(-?[\d,_]{5,})",
    re.IGNORECASE,
)
_CODE = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?code\s+size[^:=]*[:=]\s*(-?[\d,_]+)", re.IGNORECASE)
_MODEL = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?serialized[^:=]*[:=]\s*(-?[\d,_]+)\s*bytes", re.IGNORECASE)
_TRAIN_MS = re.compile(r"train_time\s*[:=]\s*(\d+(?:\.\d+)?)\s*ms")
_EVAL_MS = re.compile(r"eval_time\s*[:=]\s*(\d+(?:\.\d+)?)\s*ms")
_PAIR = re.compile(
    rf"(?<![A-Za-z0-9_./])([A-Za-z][A-Za-z_0-9]{{2,40}})\s*[:=]\s*({NUMBER}|True|False)(?=[\s,;)]|$)"
)

#: Settings that may differ between the runs of one mean: they name a run or a place, not a design.
_OF_THE_RUN = re.compile(
    r"seed|run_?id|log|path|dir|time|rank|port|date|wall|elapsed|warmup_step|tok|bytes|memory|peak|size|loss|bpb|step_avg"
    r"|ratio|world|gpu|pid|count|param|progress|done|step$|steps$|files|shards|docs|hash|id$|ms$|_s$|threads|gflops|lr_scale"
    r"|scale|min$|max$|mean|std|rms|norm|collected|total|captured|pruned|cap$|reserve|index|idx|master|local|layer_?\d|start"
)


class LoggedFigure(msgspec.Struct, frozen=True):
    """One printed bits-per-byte figure.

    Attributes:
        line: line in the log, from 1.
        label: the words before the figure, numbers taken out, with the figure's own name: equal for equal
            lines of two logs.
        bpb: the figure, bits per byte; the `exact:` one where the line prints both.
        half_unit: half a unit of its last printed digit.
        loss: nats per token printed on the same line, or None.
        counted_bytes: bytes said to be counted on the same line, or None.
        step: the line is an evaluation during training.
        text: the line, stripped.
    """

    line: int
    label: str
    bpb: float
    half_unit: float
    loss: float | None
    counted_bytes: int | None
    step: bool
    text: str


class Odd(msgspec.Struct, frozen=True):
    """A figure that cannot be: its line, its name, how it is printed, and why it cannot be."""

    line: int
    name: str
    value: str
    why: str
    text: str


class Noted(msgspec.Struct, frozen=True):
    """A number on a line of a log, e.g. a size in bytes or a token count."""

    line: int
    value: int
    text: str


class TrainingLog(msgspec.Struct):
    """What one log says.

    Attributes:
        path: the file.
        seed: the seed it prints, else None.
        settings: settings printed before the first step, those that merely name the run left out; name ->
            (line, value).
        readings: printed figures in order.
        odd: figures that no evaluation can have; of those printed during training the last alone.
        totals: code plus model, bytes, as printed.
        code: bytes of code as printed. model: bytes of model files as printed.
        val_tokens: validation tokens as the loader printed them.
        tokenizer: (line, path) of the tokenizer.
        train_ms, eval_ms: the last printed training and the longest printed evaluation time, milliseconds.
    """

    path: Path
    seed: int | None = None
    settings: dict[str, tuple[int, str]] = {}
    readings: list[LoggedFigure] = []
    odd: list[Odd] = []
    totals: list[Noted] = []
    code: list[Noted] = []
    model: list[Noted] = []
    val_tokens: Noted | None = None
    tokenizer: tuple[int, str] | None = None
    train_ms: Noted | None = None
    eval_ms: Noted | None = None


def _integer(text: str) -> int:
    return int(text.replace(",", "").replace("_", "") or 0)


def _readings(number: int, line: str, step: bool) -> list[LoggedFigure]:
    loss = _LOSS.search(line)
    counted = _COUNTED_BYTES.search(line)
    found = []
    for match in _FIGURE.finditer(line):
        exact = _EXACT.search(line)
        text = exact[1] if exact and abs(float(exact[1]) - float(match[2])) < 1e-3 else match[2]
        value = float(text)
        if not 0.0 <= value < 100.0 or "." not in text:
            continue
        before = line[: min(match.start(), loss.start() if loss else match.start())]
        label = " ".join(
            (re.sub(r"(?<![A-Za-z])\d+|[^A-Za-z_0-9]+", " ", before) + " " + match[1]).split()
        ).lower()
        found.append(
            LoggedFigure(
                line=number,
                label=label,
                bpb=value,
                half_unit=0.5 * 10.0 ** -len(text.partition(".")[2]),
                loss=float(loss[2]) if loss and match[1].lower() in ("val_bpb", "bpb") else None,
                counted_bytes=_integer(counted[1]) if counted else None,
                step=step,
                text=line.strip()[:300],
            )
        )
    return found


def parse_log(path: Path, text: str) -> TrainingLog:
    """Read what a training log says; source printed into the log and progress lines are passed over.

    Args:
        path: the file. text: what it holds.
    """
    log = TrainingLog(path=path)
    trained = False
    last: dict[str, Odd | None] = {}  # of each name, as printed during training
    for number, line in enumerate(text.replace("\0", "").splitlines(), start=1):
        line = line[:_LINE_AT_MOST]
        if not line.strip() or _SOURCE.search(line):
            continue
        step = _STEP.match(line) is not None
        trained = trained or step
        if not _PROGRESS.search(line):
            log.readings.extend(_readings(number, line, step))
            for name, odd in _plain_figures(number, line):
                last[name] = odd if step else None
                log.odd += [odd] if odd is not None and not step else []
        _note(log, number, line)
        if not trained:
            if (seed := _SEED.search(line)) and log.seed is None:
                log.seed = int(seed[1][:18])
            for key, value in _PAIR.findall(line):
                wanted = key == "vocab_size" or not _OF_THE_RUN.search(key.lower())
                if wanted and key not in log.settings:
                    log.settings[key] = (number, value)
    log.odd += [odd for odd in last.values() if odd is not None]
    return log


def _plain_figures(number: int, line: str) -> list[tuple[str, Odd | None]]:
    """Each figure that goes by its plain name, with why it cannot be; a best one so far may begin as infinite."""
    found: list[tuple[str, Odd | None]] = []
    for match in _PLAIN_FIGURE.finditer(line):
        name, value = match[1].lower(), match[2]
        grave = impossible(name, float(value))
        text = line.strip()[:300]
        odd = Odd(number, name, value, grave[1], text) if grave and "best" not in line.lower() else None
        found.append((name, odd))
    return found


def _note(log: TrainingLog, number: int, line: str) -> None:
    """Sizes, counts and times of one line."""
    for pattern, kept in ((_TOTAL, log.totals), (_CODE, log.code), (_MODEL, log.model)):
        if match := pattern.search(line):
            kept.append(Noted(number, _integer(match[1]), line.strip()[:300]))
    if match := _VAL_TOKENS.match(line):
        log.val_tokens = Noted(number, _integer(match[1]), line.strip()[:300])
    if match := _TOKENIZER.search(line):
        log.tokenizer = (number, match[1])
    if match := _TRAIN_MS.search(line):
        log.train_ms = Noted(number, int(float(match[1])), line.strip()[:300])
    if match := _EVAL_MS.search(line):
        taken = Noted(number, int(float(match[1])), line.strip()[:300])
        if log.eval_ms is None or taken.value > log.eval_ms.value:
            log.eval_ms = taken


def looks_like_log(path: Path) -> bool:
    """Whether a file's name is that of a log: `*.log`, or a `.txt` that is not a list of requirements."""
    name = path.name.lower()
    if name.endswith((".log", ".log.txt", ".out")):
        return True
    return name.endswith(".txt") and not re.search(r"require|license|notes?\.|readme|command", name)
