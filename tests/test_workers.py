"""Training with several workers: real processes on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import pytest

from keras_ae import cluster, loading
from keras_ae.commands import train
from keras_ae.errors import BadRequest
from keras_ae.runs import Run
from tests import kill_and_resume, workers
from tests.conftest import PROJECT

# What `fit` of Keras cannot do, in a cluster of one worker, which takes the same ways. When one of
# these works, the override can go.
NEEDED = """
import sys
import keras, numpy as np, tensorflow as tf
from keras_ae import cluster
from keras_ae.training.workers import Several

several = Several(cluster.of_workers())
images = np.ones((8, 3), "float32")
batches = tf.data.Dataset.from_tensor_slices((images, images)).batch(2)

def fit(without=None):
    with several.strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse")
    several.adapt(model)
    if without == "steps_per_execution":
        model.steps_per_execution = 2
    elif without:
        delattr(model, without)
    # With it batches are values per device, as with several devices in a process.
    by_device = without == "_maybe_symbolic_build"
    several.strategy.extended.experimental_enable_get_next_as_optional = by_device
    model.fit(several.distribute(batches), shuffle=False, verbose=0)

fit()
for name in ("_maybe_symbolic_build", "_make_function", "steps_per_execution"):
    try:
        fit(without=name)
    except (ValueError, TypeError, RuntimeError, AttributeError, tf.errors.OpError) as error:
        print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
    else:
        sys.exit(f"{name} is not needed any more")
"""


def test_every_override_is_needed():
    environment = {**os.environ, "TF_CONFIG": workers.config(workers.free_addresses(1), 0)}
    done = subprocess.run(
        [sys.executable, "-c", NEEDED], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("\n") == 3, done.stdout
