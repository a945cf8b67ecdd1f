"""`regrow bench ngram`: the n-gram memory beside KenLM and tokengrams, on the same tokens in one run."""

from benchmarks.ngram.bench import VOCAB_SIZE, measure, summary

__all__ = ["VOCAB_SIZE", "measure", "summary"]
