"""The stored forms of the memory: the text, or a pruned table of its n-grams."""
