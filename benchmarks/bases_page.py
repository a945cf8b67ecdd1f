"""The page about the bases, docs/bases.md, from one dated result; every figure on it is the result's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.bases_result import BasesResult, Figures, mean_by_layer, paired, spread

PICTURE = "bases.svg"


def page(result: BasesResult, source: str) -> str:
    """The whole page as Markdown; `source` is where the result lies, as a reader of the checkout finds it."""
    first = result.arms("depth")[0]
    parts = [
        "# Frozen bases, measured",
        "",
        f"This page is made from `{source}` by `python docs/make_bases.py`; run `regrow bench bases` for "
        "new figures, do not edit the page.",
        *_setting(result, source),
        "## The claim",
        "",
        "Published with the design we started from: orthogonal frozen bases train deep where Gaussian ones "
        "do not. The runs behind it differ in more than the base: Gaussian with r 16 and 5 layers "
        "(parameter-golf 874), orthogonal with r 32 and 11 layers (1113). Here only the base changes: the "
        "same steps on the same batches, and for one seed the same embedding and adapters to start from.",
        "",
        *_verdict(result, first),
        "![Held-out bits per byte by base and depth, the residual stream by layer, and equal "
        f"bytes]({PICTURE})",
        "",
        *_depth(result, first),
        *_gains(result),
        *_stream(result),
        *_bytes(result),
        *_limits(result),
    ]
    return "\n".join(parts)


def _setting(result: BasesResult, source: str) -> list[str]:
    machine, model, data = result.machine, result.model, result.data
    depth = result.train["depth"]
    compiled = "compiled" if machine.compiled else "not compiled"
    seeds = len({run.seed for run in result.runs})
    tokens = depth["max_steps"] * depth["batch_tokens"]
    return [
        "",
        f"{result.date}, regrow {result.version}, torch {machine.torch}, {machine.device}, "
        f"{machine.threads} threads, {machine.dtype}, {compiled}; {len(result.runs)} networks in "
        f"{result.seconds / 60:.1f} minutes.",
        f"Text: `{data['name']}`, {data['train_tokens']:,} training tokens; scored on "
        f"{result.scored['bytes']:,} of its {data['val_bytes']:,} held-out bytes, in pieces spread evenly. "
        "Bits per byte are those of the network alone, without the n-gram memory.",
        f"Networks of the first part: width {model['d_model']}, {model['n_head']} heads "
        f"({model['n_kv_head']} for keys), MLP {model['mlp_ratio']:g} times as wide, window "
        f"{model['window']}, all matrices seeded with r = {model['r']}; {depth['max_steps']} steps of "
        f"{depth['batch_tokens']:,} tokens, {tokens:,} in all; {seeds} seeds of bases and starting "
        "adapters.",
        "",
        *(
            ["**A quick run, to see that the bench works: its figures mean nothing.**", ""]
            if result.size == "quick"
            else []
        ),
    ]


def _verdict(result: BasesResult, first: str) -> list[str]:
    """What the figures say, in sentences that follow from them by rule."""
    lines = []
    shallow, deep = result.depths()[0], result.depths()[-1]
    for arm in result.arms("depth"):
        if arm == first:
            continue
        gap = paired(result.of("depth", arm, deep), result.of("depth", first, deep))
        lines.append(f"- {arm} against {first}, {deep} layers: {_gap_words(gap)}.")
    for arm in result.arms("depth"):
        runs = result.of("depth", arm, deep)
        failed = sum(run.bpb is None for run in runs)
        at = [spread([r.bpb for r in result.of("depth", arm, n)]) for n in (shallow, deep)]
        if failed:
            lines.append(f"- {arm}, {deep} layers: {failed} of {len(runs)} runs diverged.")
        elif at[0] is not None and at[1] is not None:
            change = at[1].mean - at[0].mean
            lines.append(
                f"- {arm}: {shallow} layers reach {at[0].mean:.4f}, {deep} layers {at[1].mean:.4f} "
                f"({change:+.4f})."
            )
    return [*lines, ""]


def _gap_words(gap: tuple[float, float] | None) -> str:
    if gap is None:
        return "too few runs to compare"
    mean, half = gap
    if abs(mean) <= half:
        return f"{mean:+.4f} +- {half:.4f} bits per byte, no difference that these seeds can show"
    return f"{mean:+.4f} +- {half:.4f} bits per byte, {'worse' if mean > 0 else 'better'}"


def _depth(result: BasesResult, first: str) -> list[str]:
    depths = result.depths()
    header = ["base", "gain"]
    for n in depths:
        header += [f"{n} layers", f"minus {first}", "stream after the last layer"]
    rows = []
    for arm in result.arms("depth"):
        cells = [arm, f"`{_any(result, arm).gain}`"]
        for n in depths:
            runs = result.of("depth", arm, n)
            gap = paired(runs, result.of("depth", first, n)) if arm != first else None
            last = spread([run.rms_end[-1] for run in runs])
            cells += [
                _bpb(runs, "bpb"),
                f"{gap[0]:+.4f} +- {gap[1]:.4f}" if gap else "",
                f"{last.mean:.2f}" if last else "",
            ]
        rows.append(cells)
    return [
        "## By base and depth",
        "",
        "Held-out bits per byte, mean and standard deviation over seeds; the difference is the mean over "
        "seeds with its 95 % interval (Student's t). The stream is its root mean square after training; "
        "it enters the first layer at 1.",
        "",
        *_table(header, rows),
        "",
    ]


def _gains(result: BasesResult) -> list[str]:
    rows = [
        [arm, f"`{matrix}`", f"{facts['entry_rms']:.4f}", f"{facts['least']:.3f}", f"{facts['greatest']:.3f}"]
        for arm, matrices in result.gains.items()
        for matrix, facts in matrices.items()
        if matrix.split()[0] in ("q", "up", "down")
    ]
    return [
        "## The gains",
        "",
        "At gain 1 an orthogonal base has all its singular values at 1, and its entries have a variance "
        "of 1 / larger side. Our Gaussian base has entries of that variance too, so that kind alone is "
        "compared: its singular values spread from almost 0 to 2 on a square. `fan in` is the usual N(0, "
        "1 / in), which on the way up into the MLP is larger by the square root of the MLP's ratio. `1 / "
        "sqrt(in)` is the gain of the published orthogonal bases, whose code divides an orthogonal matrix "
        "by sqrt(in) once more. Measured on the first block of the first seed:",
        "",
        *_table(["base", "matrix", "entries", "least singular value", "greatest"], rows),
        "",
    ]


def _stream(result: BasesResult) -> list[str]:
    deep = result.depths()[-1]
    lines = [
        "## The residual stream by layer",
        "",
        f"Root mean square over held-out tokens and channels, mean over seeds, {deep} layers; layer 0 is "
        "the embedding.",
        "",
    ]
    rows = []
    for arm in result.arms("depth"):
        for field, when in (("rms_start", "before"), ("rms_end", "after")):
            means = mean_by_layer(result.of("depth", arm, deep), field)
            rows.append([arm, when, *("" if m is None else f"{m:.2f}" for m in means)])
    share = [
        f"{arm} {found.mean:.2f}"
        for arm in result.arms("depth")
        if (found := spread([run.adapter_share for run in result.of("depth", arm, deep)]))
    ]
    return [
        *lines,
        *_table(["base", "training", *(str(n) for n in range(deep + 1))], rows),
        "",
        f"How far training moved a matrix, |adapter| / |base| in the Frobenius norm: {', '.join(share)}.",
        "",
    ]


def _bytes(result: BasesResult) -> list[str]:
    arms = result.arms("bytes")
    seconds = result.train["bytes"]["max_seconds"]
    rows = []
    for arm in arms:
        runs = result.of("bytes", arm)
        packed = spread([run.packed_bytes for run in runs])
        tokens = spread([float(run.tokens) for run in runs])
        rows.append(
            [
                arm,
                str(runs[0].d_model),
                str(runs[0].r) if runs[0].seeded != "none" else "",
                f"{runs[0].frozen:,}",
                f"{runs[0].estimated_bytes:,}",
                f"{packed.mean:,.0f}" if packed else "",
                f"{tokens.mean:,.0f}" if tokens else "",
                _bpb(runs, "bpb"),
                _bpb(runs, "bpb_int8"),
            ]
        )
    first = arms[0]
    sizes = [run.packed_bytes for run in result.runs if run.packed_bytes is not None]
    apart = f"The packed sizes lie within {100 * (max(sizes) / min(sizes) - 1):.1f} %." if sizes else ""
    gaps = [
        f"- `{arm}` against `{first}`: "
        f"{_gap_words(paired(result.of('bytes', arm), result.of('bytes', first), 'bpb_int8'))}."
        for arm in arms[1:]
    ]
    header = "seeded,width,r,frozen,bytes estimated,bytes packed,tokens seen,bits per byte,after int8"
    return [
        "## Equal bytes, equal time",
        "",
        f"Which matrices to seed when the packed network may take so many bytes and training {seconds:g} "
        "seconds: r is chosen so that the estimates agree; the packed bytes are those of the trained "
        "network's int8 weights, entropy-coded, and the last column scores what is packed. A seeded "
        "network is wider for its bytes, and slower for its width.",
        "",
        *_table(header.split(","), rows),
        "",
        apart,
        "",
        *gaps,
        "",
    ]


def _limits(result: BasesResult) -> list[str]:
    depth = result.train["depth"]
    share = depth["max_steps"] * depth["batch_tokens"] / result.data["train_tokens"]
    seconds = max(run.seconds for run in result.runs if run.part == "depth")
    pace = []
    for arm in result.arms("bytes"):
        seen = [run.tokens for run in result.of("bytes", arm)]
        pace.append(max(seen) / min(seen) - 1)
    return [
        "## What this does not show",
        "",
        f"A network of the first part saw {100 * share:.1f} % of the training text once, in at most "
        f"{seconds:.0f} seconds, where the published ones had ten minutes on eight large GPUs. That is the "
        "start of training, where starting values matter most: a base that only hurts later would not be "
        "caught, and what a gain brings or costs here may shrink as the adapters grow. Learning rates are "
        f"the same for all arms and tuned for none. With r = {result.model['r']} on a width of "
        f"{result.model['d_model']}, adapters can change a larger part of each matrix than the published 64 "
        "on 512.",
        "",
        "Equal time is time on a machine whose pace changed: tokens seen by one arm differ between seeds by "
        f"up to {100 * max(pace):.0f} %. Arms take turns within a seed, so that this widens the intervals "
        "more than it favours an arm.",
        "",
    ]


def _bpb(runs: list[Figures], field: str) -> str:
    found = spread([getattr(run, field) for run in runs])
    failed = sum(getattr(run, field) is None for run in runs)
    text = f"{found.mean:.4f} ({found.deviation:.4f})" if found else ""
    return f"{text} {failed} diverged".strip() if failed else text


def _any(result: BasesResult, arm: str) -> Figures:
    return result.of("depth", arm)[0]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = [":--" if i == 0 else "--:" for i in range(len(header))]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]
