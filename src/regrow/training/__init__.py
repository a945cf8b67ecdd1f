"""From a config and a data folder to a run: the loop, its optimisers, checkpoints and packing."""
