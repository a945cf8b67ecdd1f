"""From text to a folder of tokens, and back to a `Dataset`."""

from regrow.data.build import build_dataset
from regrow.data.dataset import Dataset, read_text_argument

__all__ = ["Dataset", "build_dataset", "read_text_argument"]
