"""From text to a folder of tokens, and back to a `Dataset`."""
