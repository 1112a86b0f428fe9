"""Keras computes with one of several backends; this package needs TensorFlow."""

import os

from keras_ae.errors import BadRequest


def check_backend() -> None:
    """Imports Keras and checks that TensorFlow is its backend.

    Raises:
        BadRequest: If it is another one, or if Keras cannot be imported with it.
    """
    expected = "expected Keras with the TensorFlow backend (KERAS_BACKEND=tensorflow), received"
    named = os.environ.get("KERAS_BACKEND")
    try:
        import keras
    except (ImportError, ValueError) as error:
        raise BadRequest(f"{expected} {named or 'none'}: {error}") from error
    if keras.backend.backend() != "tensorflow":
        raise BadRequest(f"{expected} {keras.backend.backend()}")
