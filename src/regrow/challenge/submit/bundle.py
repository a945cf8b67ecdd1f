"""`train_gpt.py`: the modules that training, packing, scoring and proving need, in one script; and its requirements.

The script is a page of plain Python: what it is, how it is run, the config, and one compressed constant, the sources
with their comments, a line `#:: PATH` before each. Run, it writes them to a temporary folder and imports them from
there.
"""

from __future__ import annotations

import base64
import functools
import importlib.metadata
import lzma
from dataclasses import dataclass

from regrow.challenge.submit.closure import closure

SCRIPT, REQUIREMENTS = "train_gpt.py", "requirements.txt"
_ROOTS = ("regrow.challenge.submit.program",)
# Imported where they are used, and the script does not use them: bars on a terminal, Parquet files.
_NOT_USED = {"rich", "pyarrow"}
_MARK = "#:: "

_TEMPLATE = '''"""{title}

    python train_gpt.py --data DATA --seed 1 --out RUN      data, training, packing, scoring; also under torchrun
    python train_gpt.py eval ARTIFACT --data DATA           bits per byte of the held-out text
    python train_gpt.py prove ARTIFACT --data DATA          encode it, decode it in a fresh process, compare
    python train_gpt.py unpack DIR                          the sources below, to read

DATA is a folder of shards with their tokenizer, or a folder that `regrow data` made. What the script needs to be
installed stands in REQUIREMENTS, with the versions it was made with.
"""

import atexit
import base64
import importlib.util
import lzma
import os
import shutil
import sys
import tempfile

REQUIREMENTS = {requirements}

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
    missing = [need for name, need in REQUIREMENTS.items() if importlib.util.find_spec(name) is None]
    if missing:
        print("train_gpt.py: error: install what is missing: pip install " + " ".join(missing), file=sys.stderr)
        sys.exit(2)
    home = tempfile.mkdtemp(prefix="train_gpt_")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    unpack(home)
    sys.path[:0] = [home]
    from regrow.challenge.submit.program import main

    sys.exit(main(CONFIG, os.path.abspath(__file__), sys.argv[1:]))
'''


@dataclass(frozen=True)
class Bundle:
    """`script`: the text of train_gpt.py; `requirements`: that of requirements.txt."""

    script: str
    requirements: str

    @property
    def code_bytes(self) -> int:
        """Bytes of the script, which the challenge counts."""
        return len(self.script.encode())


def bundle(config_toml: str, title: str) -> Bundle:
    """A script that trains by `config_toml`. The same sources, config and installed versions give the same text."""
    payload, needs = packed_sources()
    entries = "".join(f'\n    "{name}": "{need}",' for name, need in needs.items())
    script = _TEMPLATE.format(
        title=title,
        requirements=f"{{{entries}\n}}",
        config=config_toml.replace("\\", "\\\\").replace('"""', '\\"\\"\\"'),
        payload=payload,
        mark=_MARK,
    )
    return Bundle(script, "".join(f"{need}\n" for need in needs.values()))


@functools.cache
def packed_sources() -> tuple[str, dict[str, str]]:
    """The sources as the script holds them, and the packages that they need: import name -> `distribution==version`."""
    found = closure(_ROOTS)
    sources = "".join(f"\n{_MARK}{name}\n{text}" for name, text in found.modules.items())
    packed = lzma.compress(sources.encode(), preset=9 | lzma.PRESET_EXTREME)
    return base64.b85encode(packed).decode(), _requirements(sorted(found.foreign - _NOT_USED))


def _requirements(packages: list[str]) -> dict[str, str]:
    """Import name -> `distribution==version`, as installed here; without a build's own mark such as `+cpu`, which
    names a wheel that is not everywhere."""
    distributions = importlib.metadata.packages_distributions()
    names = {package: distributions[package][0] for package in packages}
    return {p: f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for p, name in names.items()}
