"""Callbacks that draw while a model trains. They work with any Keras model of images."""

import re
import time
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_ae import figures


class _FigureEveryEpochs(keras.callbacks.Callback):
    def __init__(self, path: str | Path, every: int):
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: every={every}")
        self.path = Path(path)
        self.every = every
        self._not_drawn = 0

    def on_epoch_end(self, epoch, logs=None):
        self._not_drawn = epoch + 1
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params.get("epochs"):
            self._save()

    def on_train_end(self, logs=None):
        if self._not_drawn:  # A callback has stopped the training before its last epoch.
            self._save()

    def _save(self) -> None:
        epoch, self._not_drawn = self._not_drawn, 0
        # The epoch's field, and no other, in the name of the file, and not in its directory.
        name = re.sub(
            r"\{epoch(:[^{}]*)?\}", lambda field: field[0].format(epoch=epoch), self.path.name
        )
        figures.save(self.draw(epoch), self.path.with_name(name))


class ReconstructionFigures(_FigureEveryEpochs):
    """Draws originals over their reconstructions, the same images every time.

    Example:

    ```python
    images = np.zeros((10, 28, 28, 1), "float32")
    model = ConvAutoencoder(latent_dim=4)
    model.compile(optimizer="adam", loss=model.training_loss)
    figures = ReconstructionFigures(images, "figures/epoch_{epoch:04d}.png", every=2)
    model.fit(images, images, epochs=2, callbacks=[figures], verbose=0)
    ```

    Args:
        images: Originals `[n, height, width, channels]` in [0, 1].
        path: File to write, with a field for the epoch: `"figures/epoch_{epoch:04d}.png"`. Other
            braces, and those of directories, mean themselves.
        every: Epochs between figures; the last epoch always gets one.
        inputs: What the model is given, where that is not the originals, such as noisy images.
            They get a row of their own.
    """

    def __init__(self, images, path: str | Path, every: int = 5, inputs=None):
        super().__init__(path, every)
        self.images = np.asarray(images)
        self.inputs = None if inputs is None else np.asarray(inputs)

    def draw(self, epoch: int) -> Figure:
        """Returns the figure for the model as it is now."""
        rows = {"original": self.images}
        inputs = self.images
        if self.inputs is not None:
            inputs = rows["noisy"] = self.inputs
        outputs = self.model(inputs, training=False)
        rows["reconstructed"] = np.clip(keras.ops.convert_to_numpy(outputs), 0, 1)
        return figures.image_rows(rows, f"epoch {epoch}")


class SampleFigures(_FigureEveryEpochs):
    """Draws the images that the decoder gives for latents, the same latents every time.

    Example:

    ```python
    images = np.zeros((10, 28, 28, 1), "float32")
    model = VariationalAutoencoder(latent_dim=4)
    model.compile(optimizer="adam")
    figures = SampleFigures(np.random.normal(size=(50, 4)), "figures/samples_{epoch:04d}.png")
    model.fit(images, callbacks=[figures], verbose=0)
    ```

    Args:
        latents: `[n, latent_dim]`.
        path: File to write, with a field for the epoch: `"figures/epoch_{epoch:04d}.png"`. Other
            braces, and those of directories, mean themselves.
        every: Epochs between figures; the last epoch always gets one.
        decoder: Model from latents to images; by default `model.decoder`.
    """

    def __init__(self, latents, path: str | Path, every: int = 5, decoder=None):
        super().__init__(path, every)
        self.latents = np.asarray(latents)
        self.decoder = decoder

    def draw(self, epoch: int) -> Figure:
        """Returns the figure for the model as it is now."""
        decoder = self.decoder or self.model.decoder
        images = keras.ops.convert_to_numpy(decoder(self.latents, training=False))
        return figures.image_grid(np.clip(images, 0, 1), f"samples, epoch {epoch}")


class LossPlot(keras.callbacks.Callback):
    """Draws the curves of all losses while a model trains, and once more at the end.

    Between two drawings lie at least 100 times the time that the last one took. So the curves of a
    slow model are drawn anew after every epoch, and those of a fast one do not slow it down.

    Example:

    ```python
    images = np.zeros((10, 28, 28, 1), "float32")
    model = DenseAutoencoder(latent_dim=4, hidden_units=(16,))
    model.compile(optimizer="adam", loss=model.training_loss)
    model.fit(images, images, epochs=3, callbacks=[LossPlot("loss.png")], verbose=0)
    ```

    Args:
        path: File to write.

    Attributes:
        history: Values per epoch by name, for every epoch.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        self.path = Path(path)
        self.history: dict[str, list[float]] = {}
        self._due = 0.0

    def get_state(self) -> dict:
        """Returns the history, for a checkpoint."""
        return self.history

    def set_state(self, state: dict) -> None:
        """Continues the history of an earlier run."""
        self.history = state

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        if time.monotonic() >= self._due:
            self._draw()

    def on_train_end(self, logs=None):
        if self.history:
            self._draw()

    def _draw(self) -> None:
        started = time.monotonic()
        figures.save(figures.loss_curves(self.history), self.path)
        finished = time.monotonic()
        self._due = finished + 100 * (finished - started)
