"""Makes a page from trained runs: `python explore.py --help`."""

import sys

from keras_ae.commands.explore import main

if __name__ == "__main__":
    sys.exit(main())
