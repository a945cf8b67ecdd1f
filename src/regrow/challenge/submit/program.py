"""What a bundled script does by its own config: data, training, packing, scoring, proving; regrow is not installed.

It ends with the challenge's log lines, which it also leaves in `RUN/log.txt`. The proof's
decoder is the script itself in a fresh process.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
from pathlib import Path

from regrow.challenge.log_lines import log_writers, proof_line, whole_log
from regrow.core.config.load import apply_overrides, parse_config
from regrow.core.config.schema import Config
from regrow.core.errors import ProofError, RegrowError
from regrow.core.files import atomic_write_bytes, atomic_write_text
from regrow.core.progress import Lines, Progress
from regrow.core.results import Proof, Result
from regrow.core.run_folder import RESULT, working_folder
from regrow.data.shards.conversion import build_from_shards
from regrow.data.shards.format import is_shards
from regrow.predict.codec import decompress
from regrow.predict.evaluation import evaluate
from regrow.predict.proof import prove
from regrow.training.log import read_records
from regrow.training.trainer import train

_OFFICIAL_DATA = "./data/datasets/fineweb10B_sp1024"


def main(config_toml: str, script: str, arguments: list[str]) -> int:
    """Run the script's command line; returns the exit code."""
    commands = ("train", "eval", "prove", "decompress")
    name, rest = (
        (arguments[0], arguments[1:]) if arguments[:1] and arguments[0] in commands else ("train", arguments)
    )
    parser = argparse.ArgumentParser(prog=f"{Path(script).name} {name}")
    if name != "train":
        parser.add_argument("artifact", type=Path)
    if name == "decompress":
        parser.add_argument("stream", type=Path)
        parser.add_argument("-o", "--out", type=Path, required=True)
    else:
        parser.add_argument("--data", type=Path, default=Path(_OFFICIAL_DATA))
    if name == "train":
        parser.add_argument("--out", type=Path, default=Path("run"))
        parser.add_argument("--seed", type=int)
        parser.add_argument("--resume", action="store_true")
        parser.add_argument("--overwrite", action="store_true")
        parser.add_argument("--prove", action="store_true")
    given = parser.parse_args(rest)
    progress = Lines(sys.stderr)
    try:
        if name == "train":
            _train(parse_config(config_toml, script), script, given, progress)
        elif name == "eval":
            measured = evaluate(given.artifact, _data(given.data, given.artifact.parent, progress)).bpb
            sys.stdout.write(f"final_artifact_roundtrip_exact val_bpb:{measured.blended:.8f}\n")
        elif name == "prove":
            data = _data(given.data, given.artifact.parent, progress)
            sys.stdout.write(proof_line(_prove(given.artifact, data, script, progress)) + "\n")
        else:
            raw = decompress(given.artifact, given.stream.read_bytes())
            atomic_write_bytes(given.out, raw)
    except RegrowError as error:
        sys.stderr.write(f"{Path(script).name}: error: {error}\n")
        return error.exit_code
    return 0


def _train(config: Config, script: str, given: argparse.Namespace, progress: Progress) -> None:
    if given.seed is not None:
        config = apply_overrides(config, [f"train.seed={given.seed}"])
    out: Path = given.out
    data = _data(given.data, out, progress)
    begin = {"resume": given.resume, "overwrite": given.overwrite}
    writers = log_writers(config, working_folder(out, **begin))
    run = train(config, data, out, **begin, progress=progress, callbacks=writers)
    if not run.is_first:
        return
    measured = evaluate(run.artifact, data, progress=progress)
    result = Result.update(
        out / RESULT, {"bpb": measured.bpb, "bytes": measured.bytes, "seconds": measured.seconds}
    )
    if given.prove:
        result = Result.update(out / RESULT, {"proof": _prove(run.artifact, data, script, progress)})
    log = whole_log(config, read_records(out), result, Path(script).stat().st_size)
    atomic_write_text(out / "log.txt", log)
    sys.stdout.write(log)


def _data(given: Path, out: Path, progress: Progress) -> Path:
    """The data folder: the one that is given, or the one made of the shards that are, beside the run."""
    if not is_shards(str(given)):
        return given
    place = out / "data"
    out.mkdir(parents=True, exist_ok=True)
    # Of several processes one builds and the others wait. A group of processes to do that with would have to be ended
    # before training forms its own, and torch does not reliably form two in a row.
    with (out / "data.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "data.json").exists():
            build_from_shards([str(given)], place, progress)
    return place


def _prove(artifact: Path, data: Path, script: str, progress: Progress) -> Proof:
    """The proof, whose decoder is the script itself in a fresh process. Raises ProofError."""
    proof = prove(artifact, data, progress, decoder_command=(sys.executable, script, "decompress"))
    if not proof.sha256_match:
        raise ProofError(f"{artifact}: the decoded text is not the encoded text; nothing is proven.")
    return proof
