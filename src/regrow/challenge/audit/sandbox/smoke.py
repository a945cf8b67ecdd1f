"""The smoke test: in the limited child, on a CPU: import the script, build its model, take one step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from regrow.challenge.audit.sandbox.sandbox import Child, ChildError, Limits

_SECONDS = 180.0


class Smoke(msgspec.Struct, frozen=True):
    """What the smoke test saw.

    Attributes:
        outcome: `pass`; `fail`, with the failing line; `needs a GPU`, where a kernel of the script's own was
            reached.
        stage: how far it came: import, build, step or done.
        import_seconds: seconds that importing took.
        width, layers, vocabulary, parameters: of the model that was built.
        code_bytes: bytes of the script and of every local file it needs.
        loss: nats per token on random tokens, before the step.
        line, text, error: where it failed, and why.
        stubbed: packages that were missing and stood in for.
    """

    outcome: Literal["pass", "fail", "needs a GPU"]
    stage: str
    import_seconds: float | None = None
    width: int | None = None
    layers: int | None = None
    vocabulary: int | None = None
    parameters: int | None = None
    code_bytes: int | None = None
    loss: float | None = None
    line: int | None = None
    text: str = ""
    error: str = ""
    stubbed: tuple[str, ...] = ()


def smoke_test(script: Path, code_bytes: int | None = None) -> Smoke:
    """Import a training script with its GPU libraries stubbed, build its model, step once on random tokens.

    Args:
        script: the training script.
        code_bytes: what the accounting found it to weigh; the script's own size where left out.
    """
    size = code_bytes if code_bytes is not None else script.stat().st_size
    report: dict[str, object] = {"stage": "start"}
    try:
        with Child("smoke", script, limits=Limits(cpu_seconds=200)) as child:
            last = False
            while not last:
                header = child.listen(_SECONDS)[0]
                report, last = dict(header["report"]), bool(header.get("last"))
    except ChildError as error:
        report.setdefault("error", str(error))
    passed = report.get("stage") == "done"
    told = set(Smoke.__struct_fields__) - {"outcome", "code_bytes"}
    known = {key: value for key, value in report.items() if key in told}
    outcome = "pass" if passed else "needs a GPU" if report.get("gpu") else "fail"
    try:
        return msgspec.convert({**known, "outcome": outcome, "code_bytes": size}, Smoke)
    except msgspec.ValidationError as error:  # the child is not ours: what it says may be anything
        said = f"The script's process gave a report that is none: {error}"
        return Smoke("fail", "start", code_bytes=size, error=said)
