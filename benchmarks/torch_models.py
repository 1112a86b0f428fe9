"""The same models in PyTorch, written the way its users write them."""

import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def _linear_stack(*sizes: int, batch_normalization: bool = False) -> list[nn.Module]:
    modules = []
    for inputs, outputs in itertools.pairwise(sizes[:-1]):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
        if batch_normalization:
            modules.append(nn.BatchNorm1d(outputs))
    return [*modules, nn.Linear(*sizes[-2:])]


class _Autoencoder(nn.Module):
    def forward(self, images):
        return self.decoder(self.encoder(images))

    def reconstruct(self, images):
        return self(images)

    def score(self, images):
        return (images - self.reconstruct(images)).square().mean(dim=(1, 2, 3))


class Linear(_Autoencoder):
    """Fully connected autoencoder, for `dense`, `mlp` and `batchnorm`."""

    def __init__(self, *sizes: int, code_relu: bool = False, batch_normalization: bool = False):
        super().__init__()
        encoder = _linear_stack(*sizes, batch_normalization=batch_normalization)
        if code_relu:
            encoder.append(nn.ReLU())
        decoder = _linear_stack(*sizes[::-1], batch_normalization=batch_normalization)
        self.encoder = nn.Sequential(nn.Flatten(), *encoder)
        self.decoder = nn.Sequential(*decoder, nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))


class Convolutional(_Autoencoder):
    """Convolutional autoencoder, for `conv`."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 7),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 7),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
            nn.Sigmoid(),
        )


class Recurrent(_Autoencoder):
    """Sequence autoencoder, for `lstm`."""

    def __init__(self):
        super().__init__()
        self.encoder_1 = nn.LSTM(28, 128, batch_first=True)
        self.encoder_2 = nn.LSTM(128, 64, batch_first=True)
        self.decoder_1 = nn.LSTM(64, 64, batch_first=True)
        self.decoder_2 = nn.LSTM(64, 128, batch_first=True)
        self.output = nn.Linear(128, 28)

    def encoder(self, images):
        x, _ = self.encoder_1(images.reshape(-1, 28, 28))
        _, (hidden, _) = self.encoder_2(x)
        return hidden[-1]

    def forward(self, images):
        x, _ = self.decoder_1(self.encoder(images).unsqueeze(1).repeat(1, 28, 1))
        x, _ = self.decoder_2(x)
        return self.output(x).unsqueeze(1)

    def reconstruct(self, images):
        return self(images).clamp(0, 1)


class Variational(_Autoencoder):
    """Variational autoencoder, for `vae-baseline`. Its output is what the loss needs."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 64, batch_first=True)
        self.mean = nn.Linear(28 * 64, 32)
        self.log_variance = nn.Linear(28 * 64, 32)
        self.logits = nn.Sequential(
            nn.Linear(32, 32 * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 32, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 3, padding=1),
        )

    def posterior(self, images):
        x, _ = self.lstm(images.reshape(-1, 28, 28))
        x = x.flatten(1)
        return self.mean(x), self.log_variance(x).clamp(-10, 10)

    def encoder(self, images):
        return self.posterior(images)[0]

    def forward(self, images):
        mean, log_variance = self.posterior(images)
        latents = mean
        if self.training:
            latents = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        return self.logits(latents), mean, log_variance

    def reconstruct(self, images):
        return torch.sigmoid(self.logits(self.encoder(images)))

    def score(self, images):
        return negative_elbo(self(images), images)


def negative_elbo(outputs, images):
    """Returns nats per image, `[n]`."""
    logits, mean, log_variance = outputs
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, images, reduction="none")
    divergence = 0.5 * torch.sum(mean.square() + log_variance.exp() - 1 - log_variance, dim=1)
    return cross_entropy.flatten(1).sum(dim=1) + divergence


def loss_function(module: nn.Module):
    """Returns the loss `(outputs, images) -> scalar` that the module is trained with."""
    if isinstance(module, Variational):
        return lambda outputs, images: negative_elbo(outputs, images).mean()
    return functional.mse_loss


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Turns uint8 `[n, 28, 28, 1]` into float32 `[n, 1, 28, 28]` in [0, 1], as `ToTensor` does."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous()


MODELS = {
    "mlp": lambda: Linear(784, 392, 8, code_relu=True),
    "dense": lambda: Linear(784, 128, 64, 12, 5),
    "batchnorm": lambda: Linear(784, 256, 128, 32, batch_normalization=True),
    "conv": Convolutional,
    "lstm": Recurrent,
    "vae-baseline": Variational,
}


def trained_parameters(module: nn.Module) -> int:
    """Returns their number, without the second bias of LSTMs, which adds nothing to the first."""
    return sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if not name.endswith("bias_hh_l0")
    )


def load_weights(module: nn.Module, weights: list[np.ndarray]) -> None:
    """Gives a module the initial weights of its Keras twin.

    Keras has one bias in an LSTM where PyTorch adds two; the second stays zero.

    Args:
        module: One of `MODELS`.
        weights: `model.get_weights()` of the twin.

    Raises:
        ValueError: If the two have another number of weights, or other shapes.
    """
    state = module.state_dict()
    names = [name for name in state if not name.endswith(("bias_hh_l0", "num_batches_tracked"))]
    for name, weight in zip(names, weights, strict=True):
        # Matrices are [in, out] in Keras, kernels [height, width, ...].
        axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[weight.ndim]
        state[name] = torch.tensor(weight.transpose(axes).reshape(state[name].shape))
    for name in state.keys() - set(names):
        state[name] = torch.zeros_like(state[name])
    module.load_state_dict(state)
