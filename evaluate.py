"""Evaluates a trained run: `python evaluate.py --help`."""

import sys

from keras_ae.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
