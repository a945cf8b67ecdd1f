"""Artifacts in folders and in repositories of the Hugging Face hub: the file, its model card and the run's figures.

A folder holds `artifact.safetensors`, `README.md` (the card) and, where the artifact's run measured something,
`result.json`; a repository holds the same.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from regrow.artifact.model_card import model_card
from regrow.artifact.stored import StoredArtifact
from regrow.core.errors import ArtifactError, DataError, EnvironmentProblem
from regrow.core.files import atomic_write_bytes, sha256_hex
from regrow.core.results import Result, components
from regrow.core.run_folder import ARTIFACT, RESULT

CARD = "README.md"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def artifact_file(place: Path | str, *, revision: str | None = None, token: str | bool | None = None) -> Path:
    """The artifact at `place`: a file, a folder (a run's, or one of `save_folder`), or a repository OWNER/NAME of the
    hub, whose file is fetched once into the hub's cache.

    Raises ArtifactError where there is none, EnvironmentProblem when the hub cannot be asked.
    """
    path = Path(place)
    if path.is_dir():
        if not (path / ARTIFACT).is_file():
            raise ArtifactError(f"{path}: holds no {ARTIFACT}; give a run's folder or the file itself.")
        return path / ARTIFACT
    if path.exists() or not _REPOSITORY.fullmatch(str(place)):
        return path
    hub = _library(f"{place}: is no file here, and")
    try:
        return Path(hub.hf_hub_download(str(place), ARTIFACT, revision=revision, token=token))
    except Exception as error:  # the library's errors are of many families, and so are the network's
        raise _refused(f"{place}: {ARTIFACT} cannot be fetched", error) from error


def save_folder(stored: StoredArtifact, folder: Path | str, name: str | None = None) -> None:
    """Write the artifact, its card and its run's result.json into `folder`, which is made where it is missing.

    `name`: of the repository the folder is meant for. Raises DataError where a file of these names with other content
    is there already, ArtifactError if the artifact's file has changed since it was loaded.
    """
    folder, source = Path(folder), Path(stored.source)
    data = source.read_bytes()
    if sha256_hex(data) != stored.sha256:
        raise ArtifactError(f"{source}: has changed since it was loaded; load it again.")
    result = _result_of(stored)
    files = {ARTIFACT: data, CARD: model_card(stored, result, name).encode()}
    if result is not None:
        files[RESULT] = source.with_name(RESULT).read_bytes()
    for file, content in files.items():
        there = folder / file
        if there.exists() and there.read_bytes() != content:
            raise DataError(f"{there}: is there already and holds something else; choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        atomic_write_bytes(folder / file, content)


def push(
    stored: StoredArtifact,
    repository: str,
    *,
    private: bool | None,
    token: str | bool | None,
    message: str | None,
) -> str:
    """Upload what `save_folder` writes as one commit to `repository` (OWNER/NAME), made if it is missing; returns the
    commit's address. A README.md that the repository has stays as it is. Raises EnvironmentProblem."""
    hub = _library(f"{repository}: pushing")
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory(prefix="regrow-hub-") as folder:
        save_folder(stored, folder, repository)
        try:
            repo_id = api.create_repo(repository, private=private, exist_ok=True).repo_id
            written = api.file_exists(repo_id, CARD)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=message or f"regrow artifact {stored.sha256[:8]}",
                ignore_patterns=[CARD] if written else None,
            )
        except Exception as error:  # as above
            raise _refused(f"{repository}: cannot be written", error) from error
    return str(commit.commit_url)


def _result_of(stored: StoredArtifact) -> Result | None:
    """The result.json beside the artifact, if it is of this artifact."""
    path = Path(stored.source).with_name(RESULT)
    if not path.is_file():
        return None
    result = Result.load(path)
    same = result.bytes is not None and components(result.bytes) == stored.ledger.parts()
    return result if same and result.seed == stored.seed else None


def _library(what: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise EnvironmentProblem(f"{what} needs huggingface-hub; pip install huggingface-hub.") from error
    return huggingface_hub


def _refused(what: str, error: Exception) -> EnvironmentProblem:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return EnvironmentProblem(f"{what} ({reason}); check the name, the network and `hf auth login`.")
