"""Trains a recipe: `python train.py --help`."""

import sys

from keras_ae.cli import train

if __name__ == "__main__":
    sys.exit(train())
