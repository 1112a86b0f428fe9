"""Trains a recipe: `python train.py --help`."""

import sys

from keras_ae.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
