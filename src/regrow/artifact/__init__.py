"""The artifact file: container, quantised weights, entropy coding, size by component."""
