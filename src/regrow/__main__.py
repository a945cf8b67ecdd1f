"""`python -m regrow`, and `torchrun -m regrow train ...` for several processes."""

import sys

from regrow.cli import main

if __name__ == "__main__":
    sys.exit(main())
