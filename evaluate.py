"""Evaluates a trained run: `python evaluate.py --help`."""

import sys

from keras_ae.cli import evaluate

if __name__ == "__main__":
    sys.exit(evaluate())
