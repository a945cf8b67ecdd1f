"""What happens while a script runs, as far as its source shows: the facts that the rules judge."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.challenge.audit.flow.domain import Spot, Value


@dataclass(frozen=True)
class Event:
    """One step of the script, in program order.

    Kinds, and what `value` is:
        `loss`       a loss of the target is computed (value: the loss)
        `score`      a loss is added to what is reported (value: what is added)
        `backward`   gradients of a loss are taken
        `step`       an optimiser moves something (value: data of the gradients it uses)
        `lookup`     a table is read with a hashed key that holds the target
        `mix`        a count read so is mixed with the target's probability, or its logarithm taken
        `update`     a table is written with a hashed key
        `select`     the better of two losses of the target is taken
        `gate`       a probability is switched by a property of the target
        `perbyte`    the target's loss is divided among its bytes and mixed with a byte model
        `clamp`      targets are forced into a smaller vocabulary
        `stored`     data is written into a file (value: the data; detail: its name)
        `cut`        validation tokens are cut off (detail: how)
        `calibrate`  a model with hooks sees data
        `bytes`      the byte count of a piece is set, or bytes are added while scoring

    Attributes:
        seq: running number.
        loops: loops around it, outermost first, across calls.
        stack: functions around it, outermost first.
        dormant: in a branch that default settings do not take, or in a function that nothing calls.
        no_grad: under no_grad or inference_mode.
        detail: a word more about it.
    """

    kind: str
    seq: int
    spot: Spot
    value: Value
    loops: tuple[int, ...]
    stack: tuple[str, ...]
    dormant: bool
    no_grad: bool
    detail: str = ""
    other: Value | None = None
