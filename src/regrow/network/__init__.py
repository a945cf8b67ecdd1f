"""The network in floats: frozen bases, adapters, attention, the transformer, the mixer."""
