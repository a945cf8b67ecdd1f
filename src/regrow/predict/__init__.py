"""One predictor and what goes through it: evaluation, the codec, the proof."""
