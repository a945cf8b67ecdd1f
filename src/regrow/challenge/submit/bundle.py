"""`train_gpt.py`: the modules that training, packing, scoring and proving need, in one script that stands alone.

The script is a page of plain Python: what it is, how it is run, the config, and one compressed constant, the sources
with their comments, a line `#:: PATH` before each. Run, it writes them to a temporary folder and imports them from
there. Small stand-ins for the other packages regrow uses go to the end of the search path, so that the script also runs
where only torch, numpy and sentencepiece are installed.
"""

from __future__ import annotations

import base64
import lzma
from pathlib import Path

from regrow.challenge.submit import fallbacks
from regrow.challenge.submit.closure import closure

SCRIPT = "train_gpt.py"
_ROOTS = ("regrow.challenge.submit.program",)
_NOT_NEEDED = (
    "regrow.challenge.submit",
    "regrow.challenge.submit.record",
    "regrow.challenge.submit.fallbacks",
)
_MARK = "#:: "

_TEMPLATE = '''"""{title}

    python train_gpt.py --data DATA --seed 1 --out RUN      data, training, packing, scoring; also under torchrun
    python train_gpt.py eval ARTIFACT --data DATA           bits per byte of the held-out text
    python train_gpt.py prove ARTIFACT --data DATA          encode it, decode it in a fresh process, compare
    python train_gpt.py unpack DIR                          the sources below, to read

DATA is a folder of shards with their tokenizer, or a folder that `regrow data` made. Needs torch, numpy and
sentencepiece. {others} used where they are installed; the small stand-ins below give the same bytes without them,
counting and reading the memory hundreds of times slower without numba.
"""

import atexit
import base64
import lzma
import os
import shutil
import sys
import tempfile

CONFIG = """
{config}"""

SOURCES = lzma.decompress(base64.b85decode("{payload}")).decode()


def unpack(folder):
    for part in SOURCES.split("\\n{mark}")[1:]:
        name, _, text = part.partition("\\n")
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["unpack"]:
        sys.exit(unpack(sys.argv[2]))
    home = tempfile.mkdtemp(prefix="train_gpt_")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    unpack(home)
    sys.path[:0] = [home]
    sys.path += [os.path.join(home, "fallbacks")]
    from regrow.challenge.submit.program import main

    sys.exit(main(CONFIG, os.path.abspath(__file__), sys.argv[1:]))
'''


def bundle(config_toml: str, title: str) -> str:
    """The text of a `train_gpt.py` that trains by `config_toml`. The same sources and config give the same text."""
    found = closure(_ROOTS, _NOT_NEEDED)
    files = {"regrow/submission/__init__.py": "", **found.modules}
    stand_ins = [name for name in stand_in_names() if name in found.foreign]
    place = Path(fallbacks.__file__).parent
    for name in stand_ins:
        paths = sorted((place / name).glob("*.py")) if (place / name).is_dir() else [place / f"{name}.py"]
        for path in paths:
            files[f"fallbacks/{path.relative_to(place)}"] = path.read_text(encoding="utf-8")
    sources = "".join(f"\n{_MARK}{name}\n{text}" for name, text in sorted(files.items()))
    packed = lzma.compress(sources.encode(), preset=9 | lzma.PRESET_EXTREME)
    return _TEMPLATE.format(
        title=title,
        others=_joined(stand_ins),
        config=config_toml.replace("\\", "\\\\").replace('"""', '\\"\\"\\"'),
        payload=base64.b85encode(packed).decode(),
        mark=_MARK,
    )


def stand_in_names() -> list[str]:
    """The packages there is a stand-in for, sorted."""
    place = Path(fallbacks.__file__).parent
    names = [p.stem for p in place.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()]
    return sorted(set(names) - {"__init__"})


def _joined(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]} are" if len(names) > 1 else f"{names[0]} is"
