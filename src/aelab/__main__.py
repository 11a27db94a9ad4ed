"""``python -m aelab``: the command line, where no command is installed or on the path."""

import sys

from aelab.cli import main

if __name__ == "__main__":  # a process of a study imports this module, and must not run it
    sys.exit(main())
