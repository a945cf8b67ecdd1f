"""Language models under a byte budget: matrices that regrow from seeds, and scores that are proven."""

__version__ = "0.1.0"
