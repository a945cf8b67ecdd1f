"""`RUN/excerpt.json`: an excerpt of held-out text and the loss of its tokens, what each document cost, and text drawn
from the model, so that the report need neither score nor draw.

    {"schema": 1, "artifact_sha256": str,
     "tokens": [{"token": int, "text": base64, "blended": float, "network": float, "memory": float|null,
                 "order": int|null}],
     "documents": [[bytes, mixture, network|null, memory|null, first words]], "sample": str|null}

Costs are bits. The excerpt is bound to the artifact that was scored, so a page never shows another's costs.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from regrow.core.errors import ArtifactError, DataError, EnvironmentProblem, readable
from regrow.core.files import atomic_write_bytes, sha256_hex
from regrow.core.run_folder import ARTIFACT

if TYPE_CHECKING:
    # At run time this module does without torch, so that `regrow report` starts at once.
    from regrow.predict.evaluation import EvalResult

SCHEMA = 1
FILE = "excerpt.json"

_Bits = Annotated[float, Meta(ge=0)]


class ExcerptToken(Struct, frozen=True):
    """One token: its id, its bytes, its bits under mixture, network and memory, the order that matched."""

    token: int
    text: bytes
    mixture: _Bits = msgspec.field(name="blended")
    network: _Bits
    memory: _Bits | None = None
    order: Annotated[int, Meta(ge=1)] | None = None


class ExcerptDocument(Struct, frozen=True, array_like=True):
    """One document of the held-out text: its bytes, its bits under mixture, network and memory, its first words."""

    bytes: int
    mixture: float
    network: float | None
    memory: float | None
    begins: str


class Excerpt(Struct, frozen=True):
    """Consecutive tokens of held-out text; `artifact_sha256` is empty where the run had no artifact file. `documents`:
    all of them, empty where the text is one; `sample`: what `regrow sample` draws."""

    tokens: list[ExcerptToken]
    artifact_sha256: str = ""
    schema: int = SCHEMA
    documents: list[ExcerptDocument] = []
    sample: str | None = None


def save_excerpt(run: Path, measured: EvalResult, artifact: object = None) -> Path:
    """Write `run`/excerpt.json for the artifact that lies there now; returns the file.

    `artifact`: the same, loaded, to draw the sample from. Raises EnvironmentProblem if it cannot be written.
    """
    tokens = [
        # A cost of almost nothing may come out a rounding error below zero.
        ExcerptToken(
            cost.token,
            cost.text,
            max(0.0, cost.mixture),
            max(0.0, cost.network),
            None if cost.memory is None else max(0.0, cost.memory),
            cost.order,
        )
        for cost in measured.excerpt
    ]
    documents = [
        ExcerptDocument(d.bytes, d.mixture, d.network, d.memory, d.begins) for d in measured.documents
    ]
    sample = None
    if artifact is not None:
        from regrow.predict.sampling import sample_text

        # Numbers outside the exact range, or too little memory: the figures stand without a sample.
        with contextlib.suppress(ArtifactError, EnvironmentProblem):
            sample = sample_text(artifact)
    excerpt = Excerpt(tokens, file_sha256(run / ARTIFACT), documents=documents, sample=sample)
    path = run / FILE
    atomic_write_bytes(path, msgspec.json.encode(excerpt) + b"\n")
    return path


def load_excerpt(run: Path) -> Excerpt | None:
    """Read `run`/excerpt.json; None if there is none. DataError if it is damaged or of another schema."""
    path = run / FILE
    if not path.exists():
        return None
    try:
        with readable(path):
            excerpt = msgspec.json.decode(path.read_bytes(), type=Excerpt)
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: is no excerpt ({error}); make it again with regrow eval.") from error
    if excerpt.schema != SCHEMA:
        raise DataError(
            f"{path}: schema is {excerpt.schema}, this regrow reads {SCHEMA}; make it again with regrow eval."
        )
    return excerpt


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hex; empty if there is no such file."""
    try:
        return sha256_hex(path.read_bytes())
    except OSError:
        return ""
