"""The numbers that every training run ends with."""

import numpy as np

from keras_ae import data, metrics
from keras_ae.models import Autoencoder, VariationalAutoencoder
from keras_ae.references import PCA, too_large


def summarize(model: Autoencoder, dataset: data.Dataset) -> dict[str, dict]:
    """Measures a trained model on every split, beside references fitted to the training images.

    Returns by split, if it has images: `mse`, `pca_mse` (as many components as latents) and
    `mean_image_mse`, mean squared errors per pixel of images clipped to [0, 1]; `latent_dim` and
    `non_constant_units`; no `pca_mse` of images that are `references.too_large` for it; for a
    variational model, which has to be compiled, `loss`, `reconstruction_loss` and `kl_loss` in nats
    per image, with one sample of the posterior per image. Its `mse` is that of the decoded
    posterior mean.
    """
    train = data.to_float(dataset.train.images)
    mean_image = train.mean(axis=0, dtype="float64").astype("float32")
    pca = None if too_large(dataset.image_shape) else PCA.fit(train)
    splits = {"test": dataset.test, "validation": dataset.validation, "train": dataset.train}
    summary = {}
    for name, split in splits.items():
        if len(split) == 0:
            continue
        images = train if name == "train" else data.to_float(split.images)
        latents = model.encode(images)
        reconstructions = {"mse": model.decode(latents)}
        if pca is not None:
            reconstructions["pca_mse"] = pca.reconstruct(images, model.latent_dim)
        reconstructions["mean_image_mse"] = np.broadcast_to(mean_image, images.shape)
        summary[name] = {
            key: float(metrics.mean_squared_error(images, values).mean())
            for key, values in reconstructions.items()
        }
        summary[name] |= {
            "latent_dim": model.latent_dim,
            "non_constant_units": metrics.non_constant_units(latents),
        }
        if isinstance(model, VariationalAutoencoder):
            batches = data.batches(split.images, batch_size=1000)
            summary[name] |= model.evaluate(batches, verbose=0, return_dict=True)
    return summary
