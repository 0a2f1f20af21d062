"""`python -m dayshift`: the same as the command `dayshift`."""

import sys

from dayshift.cli import main

if __name__ == "__main__":
    sys.exit(main())
