"""Where the headline comes from: the line, the seeds, the settings, the mean."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.records import Check, Record, claimed_seeds, headline, number
from regrow.challenge.audit.record.trace import Trace, last_by_label, short, trace

_BEFORE_QUANTISING = re.compile(r"pre[-_ ]?quant|post_ema|post_swa|diagnostic|float|bf16|unquantized")
_FINAL = re.compile(r"roundtrip|sliding|ttt|quantized|final")
#: A mean may differ from the headline by this much before a reader would call it another figure, bits per
#: byte.
_SAME_MEAN = 3e-4


def _untraced(record: Record) -> Iterator[Finding]:
    lead = headline(record)
    if lead is None:
        if record.claims_path or record.readme_path:
            yield UNTRACED.finding(
                "low",
                "high",
                (record.claims_path or record.readme_path, None),
                "No headline: neither submission.json nor the README states a bits-per-byte figure.",
                "",
            )
        return
    if not record.logs:
        yield UNTRACED.finding(
            "low",
            "high",
            (lead.path, lead.line),
            f"The headline {lead.bpb} comes with no log.",
            lead.evidence,
        )
        return
    if trace(record, lead) is not None:
        return
    finals = [
        (log, reading)
        for log in record.logs
        for reading in last_by_label(log).values()
        if not reading.step and reading.bpb > 0
    ] or [(log, log.readings[-1]) for log in record.logs if log.readings]
    if not finals:
        yield UNTRACED.finding(
            "low",
            "medium",
            (lead.path, lead.line),
            f"The headline {lead.bpb} stands on no line of the {len(record.logs)} log(s), which print no "
            "final figure.",
            lead.evidence,
        )
        return
    log, best = min(finals, key=lambda row: row[1].bpb)
    gap = best.bpb - lead.bpb
    yield UNTRACED.finding(
        "medium" if gap > 0.002 else "low",
        "high" if gap > 0.002 else "medium",
        (lead.path, lead.line),
        f"The headline {lead.bpb} is neither on a log line nor a mean of one; "
        + (
            f"the best final figure in the logs is {best.bpb}, {gap:.4f} above it."
            if gap > 0
            else f"the nearest final figure is {min(finals, key=lambda r: abs(r[1].bpb - lead.bpb))[1].bpb}."
        ),
        f"{lead.evidence}\n{short(log.path, record.root)}:{best.line}: {best.text}",
    )


def _before_quantising(record: Record) -> Iterator[Finding]:
    found = trace(record)
    if found is None or _FINAL.search(re.sub(_BEFORE_QUANTISING, "", found.label)):
        return
    log, reading = found.used[0]
    later = [
        r
        for r in log.readings
        if r.line > reading.line and _FINAL.search(r.label) and r.bpb > reading.bpb + 1e-3
    ]
    if not later or not (reading.step or _BEFORE_QUANTISING.search(found.label)):
        return
    worse = later[-1]
    yield BEFORE.finding(
        "medium",
        "medium",
        (log.path, reading.line),
        f"The headline is the figure before the artifact was packed ({reading.bpb}); the packed model of the "
        f"same log scores {worse.bpb}.",
        f"{reading.line}: {reading.text}\n{worse.line}: {worse.text}",
    )


def _settings(record: Record) -> Iterator[Finding]:
    found = trace(record)
    if found is None or len(found.used) < 2:
        return
    differing: list[str] = []
    first = found.used[0][0]
    for log, _ in found.used[1:]:
        for key in sorted(first.settings.keys() & log.settings.keys()):
            (line, value), (other_line, other) = first.settings[key], log.settings[key]
            unrelated = key.lower().startswith("ttt") and "ttt" not in found.label
            counted = value.isdigit() and int(value[:18]) > 10**6
            if value != other and not unrelated and not counted:
                differing.append(
                    f"{short(first.path, record.root)}:{line}: {key}={value} | "
                    f"{short(log.path, record.root)}:{other_line}: {key}={other}"
                )
    if differing:
        yield SETTINGS.finding(
            "medium",
            "medium",
            (first.path, None),
            f"The headline is a mean over runs of different settings ({len(differing)} differ); it is the "
            "figure of none of them.",
            "\n".join(differing[:8]),
        )


def _seeds(record: Record) -> Iterator[Finding]:
    lead = headline(record)
    found = trace(record, lead) if lead else None
    claims = claimed_seeds(record)
    if lead and len(claims) > 1:
        mean = statistics.fmean(claims.values())
        if mean - lead.bpb > _SAME_MEAN:
            single = min(claims.values(), key=lambda v: abs(v - lead.bpb))
            yield MEAN.finding(
                "low",
                "high",
                (lead.path, lead.line),
                f"The headline {lead.bpb} is better than the mean of the {len(claims)} seeds listed beside "
                f"it, {mean:.5f}"
                + (f"; it is one seed's figure ({single})." if abs(single - lead.bpb) < 1e-4 else "."),
                lead.evidence,
            )
    if found is None:
        return
    repeated = _repeated(found)
    if repeated:
        yield REPEATED.finding(
            "medium",
            "medium",
            (found.used[0][0].path, found.used[0][1].line),
            f"The mean counts seed {repeated} more than once: it is a mean over fewer seeds than it seems.",
            found.quote(record.root),
        )
    if found.kind == "subset" and found.unused and not claims:
        worse = [r.bpb for _, r in found.unused if r.bpb > max(found.values)]
        if worse:
            yield MEAN.finding(
                "low",
                "medium",
                (found.used[0][0].path, found.used[0][1].line),
                f"The mean leaves out {len(found.unused)} log(s) that print the same line, {len(worse)} of "
                "them worse than any that is in it.",
                found.quote(record.root)
                + "\nleft out: "
                + "; ".join(f"{short(log.path, record.root)}:{r.line}: {r.bpb}" for log, r in found.unused),
            )


def _repeated(found: Trace) -> int | None:
    seeds = [log.seed for log, _ in found.used if log.seed is not None]
    return next((s for s in seeds if seeds.count(s) > 1), None)


def _unreadable(record: Record) -> Iterator[Finding]:
    if record.claims_error:
        yield CLAIMS.finding(
            "low",
            "high",
            (record.claims_path, None),
            f"The claims cannot be read: {record.claims_error}.",
            record.claims_text[:200],
        )
    elif record.claims_path is None:
        yield CLAIMS.finding("low", "high", (record.root, None), "There is no submission.json.", "")
    if record.truncated:
        yield CLAIMS.finding(
            "low", "high", (record.root, None), f"Not everything was read: {record.truncated}.", ""
        )


def _floor(record: Record) -> Iterator[Finding]:
    lead = headline(record)
    if lead is None or lead.bpb >= 1.0:
        return
    jump = ""
    for log in record.logs[:1]:
        honest = [r for r in log.readings if r.bpb > lead.bpb * 1.1 and not r.step]
        if honest:
            jump = f"{short(log.path, record.root)}:{honest[-1].line}: {honest[-1].text}"
    yield FLOOR.finding(
        "medium",
        "medium",
        (lead.path, lead.line),
        f"The headline {lead.bpb} is far below the best legal figure when the challenge closed, about 1.06 "
        "bits per byte; every "
        "published figure below 1.0 so far was no probability, a wrong byte count or a part of the text.",
        f"{lead.evidence}\n{jump}".strip(),
    )


def _p_value(record: Record) -> Iterator[Finding]:
    from regrow.challenge.audit.record.accounting import (
        significance,  # late: accounting builds on this module's neighbours
    )

    stated = next((number(v) for k, v in record.claims.items() if re.fullmatch(r"p_?value|p", k)), None)
    tested = significance(record)
    if stated is None or tested is None or stated > 0.01 or tested.p is None or tested.p <= 0.011:
        return
    line, text = record.claim_line('"p')
    yield PVALUE.finding(
        "low",
        "medium",
        (record.claims_path, line),
        f"p = {stated} is stated; a one-sided t test of the {len(tested.values)} figures in the logs against "
        f"{tested.bar:.5f} gives "
        f"p = {tested.p:.3g}.",
        text,
    )


UNTRACED = Check(
    "headline-untraced",
    "The headline stands on no log line",
    "A figure that no log prints cannot be checked at all.",
    "The log that prints the headline, or the logs whose mean it is.",
    _untraced,
)
BEFORE = Check(
    "headline-before-packing",
    "The headline is of the model before it was packed",
    "What is judged is the artifact: quantising costs, and the figure must pay.",
    "The figure of the model as reloaded from the artifact.",
    _before_quantising,
)
SETTINGS = Check(
    "settings-mixed",
    "One mean over several configurations",
    "A mean over different configurations is no evidence for any of them, and lets the best of many runs in.",
    "Logs of one configuration, a seed each.",
    _settings,
)
MEAN = Check(
    "headline-not-the-mean",
    "The headline is better than the mean of its seeds",
    "The best of several seeds is luck as much as design.",
    "State the mean over all seeds that were run.",
    _seeds,
)
REPEATED = Check(
    "seed-counted-twice",
    "One seed counted twice in a mean",
    "A repeated seed makes the deviation too small and the p-value too good.",
    "Logs of distinct seeds.",
    lambda record: iter(()),
)
CLAIMS = Check(
    "claims-unreadable",
    "submission.json is missing or broken",
    "Without it nobody can see what is claimed.",
    "A submission.json that parses and states val_bpb, val_loss and bytes_total.",
    _unreadable,
)
FLOOR = Check(
    "below-known-floor",
    "The headline is far below every legal figure",
    "An extraordinary figure needs the probes: a distribution that sums to one, fixed before the target is "
    "seen.",
    "`regrow audit --run SHIM` with every probe passed.",
    _floor,
)
PVALUE = Check(
    "p-value-not-reproduced",
    "The p-value stated is not the one the logs give",
    "A record needs p < 0.01, and the logs decide.",
    "More seeds, or the test spelled out with its numbers.",
    _p_value,
)
CHECKS = (UNTRACED, BEFORE, SETTINGS, MEAN, REPEATED, CLAIMS, FLOOR, PVALUE)
