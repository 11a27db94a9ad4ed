"""Convolutional variational autoencoders: `conv-vae` and, with a side channel, its original."""

import math
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.base import Batch, Code, Posterior, VariationalAutoencoder
from aelab.models.initialisation import (
    CONVOLUTIONAL,
    ConvolutionalInitialisation,
    Values,
    check_initialisation,
    components_of,
    evenly_spaced,
    fit_transposed,
    near_logit,
    set_posterior_variance,
    start_at_he_scale,
    start_from_components,
)
from aelab.models.layers import (
    Activation,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    OutputActivation,
    Resampling,
    activation_named,
    deepened,
    multilayer_perceptron,
)
from aelab.models.losses import LikelihoodName, PerExample
from aelab.models.unpooling import FeatureMap, Pooled, Switches, pool


class ConvolutionalVAE(VariationalAutoencoder):
    """Variational autoencoder of convolutions, whose decoder sees the latent numbers only.

    ``q(z | x) = N(mu(h), exp(log_var(h)))`` with ``h`` the encoder's last feature map, through
    dense layers if `hidden` names any; the decoder mirrors it.

    Args:
        spec: Shape and preparation of the input.
        latent_dim: Numbers in the code.
        channels: Channels of each stage; each stage halves height and width.
        deepen: Add stages, as wide as the last, while the feature map is larger than 7×7.
        hidden: Sizes of dense layers between feature map and code; the decoder's are the same
            backwards.
        resampling: How a stage halves: pool (convolution, then max-pooling; nearest up-sampling
            in the decoder) or stride (strided and transposed convolutions).
        activation: After each hidden layer.
        output: Output activation of the Gaussian likelihoods' mean; unless given, sigmoid for
            inputs in [0, 1] and linear for others.
        likelihood: gaussian (one variance, fitted), gaussian-fixed, bernoulli or
            continuous-bernoulli.
        variance: The variance of gaussian-fixed; 0.5 makes it the squared error.
        beta: Weight of the KL divergence; 1 is the evidence lower bound.
        initialisation: random (PyTorch's own), or he: He's scale, the output at the inputs' mean.
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int = 32,
        channels: tuple[int, ...] = (32, 32, 32),
        hidden: tuple[int, ...] = (32,),
        deepen: bool = True,
        resampling: Resampling = "pool",
        activation: Activation = "relu",
        output: OutputActivation | None = None,
        likelihood: LikelihoodName = "gaussian",
        variance: float = 0.5,
        beta: float = 1.0,
        initialisation: ConvolutionalInitialisation = "random",
    ) -> None:
        super().__init__(
            spec,
            latent_dim=latent_dim,
            likelihood=likelihood,
            variance=variance,
            beta=beta,
            output=output,
        )
        check_initialisation(initialisation, CONVOLUTIONAL)
        self.initialisation = initialisation
        if deepen:
            channels = deepened(channels, spec.image_shape)
        self.encoder = ConvolutionalEncoder(spec.image_shape, channels, resampling, activation)
        self.features = self.encoder.out_shape
        size = self.encoder.out_size
        self.heads = multilayer_perceptron([size, *hidden, 2 * latent_dim], activation)
        self.from_code = nn.Sequential(
            multilayer_perceptron([latent_dim, *hidden[::-1], size], activation),
            activation_named(activation),
        )
        self.decoder = ConvolutionalDecoder(
            self.encoder, (spec.shape[0], *channels), resampling, activation
        )

    def initialise(self, data: TrainingData) -> None:
        """Start at He's scale, if asked to."""
        super().initialise(data)
        if self.initialisation == "he":
            start_at_he_scale(self, data, squashed=self.likelihood.squashed)

    def posterior(self, x: Batch) -> Posterior:
        """Mean and log-variance are the two halves of one linear layer."""
        mu, log_var = self.heads(self.encoder(x).flatten(1)).chunk(2, dim=1)
        return Posterior(mu, log_var)

    def decoder_output(self, z: Code) -> Batch:
        """Mirror of the encoder, of exactly the input's size."""
        output: Tensor = self.decoder(self.from_code(z).unflatten(1, self.features))
        return output


CODED_INPUTS, CODED_VALUES, PART = 2000, 20_000_000, 25
"""Training inputs that a layerwise start finds the code from; numbers of their features, at most;
how many inputs at a time."""

FITTED_VALUES = 400_000
"""Numbers of the training inputs that it fits the decoder's convolutions to."""


class SwitchesVAE(VariationalAutoencoder):
    """The original study's convolutional VAE, whose decoder reuses the max-pooling's switches.

    Unpadded convolutions of 3×3, 4×4 and 2×2, 2×2 max-pooling after the first two, a dense
    layer; the decoder mirrors them with transposed convolutions and un-pooling (Zeiler et al.
    2011). Where each maximum stood is handed past the latent code. Here it is appended to the
    code, as it must be for ``decode(z)`` to need nothing else, and is counted in its size. New
    codes draw their switches uniformly, since the model says nothing of them.

    Args:
        spec: Shape and preparation of the input; at least 16 pixels high and wide.
        latent_dim: Latent numbers in the code.
        channels: Channels of the three convolutions.
        hidden: Size of the dense layer between feature map and code.
        activation: After each convolution; the dense layers have none, as in the original.
        output: Output activation of the Gaussian likelihoods' mean; unless given, sigmoid for
            inputs in [0, 1] and linear for others.
        likelihood: gaussian (one variance, fitted), gaussian-fixed, bernoulli or
            continuous-bernoulli.
        variance: The variance of gaussian-fixed; 0.5 makes it the squared error.
        beta: Weight of the KL divergence; 1 is the evidence lower bound.
        initialisation: random (PyTorch's own), he (He's scale, the output at the inputs' mean), or
            layerwise: the encoder at He's scale, and each layer of the decoder fitted to undo the
            encoder's.
        straight_through: Gradients reach the encoder by the switches too, so that it learns what
            they are to tell; otherwise by the latent numbers only, as in the original.
    """

    sampled_from: ClassVar[str] = (
        "the prior N(0, 1), and its switches at random, for no prior is theirs"
    )

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int = 32,
        channels: tuple[int, int, int] = (32, 32, 32),
        hidden: int = 32,
        activation: Activation = "relu",
        output: OutputActivation | None = None,
        likelihood: LikelihoodName = "gaussian",
        variance: float = 0.5,
        beta: float = 1.0,
        initialisation: Literal["random", "he", "layerwise"] = "random",
        straight_through: bool = False,
    ) -> None:
        super().__init__(
            spec,
            latent_dim=latent_dim,
            likelihood=likelihood,
            variance=variance,
            beta=beta,
            output=output,
        )
        check_initialisation(initialisation, (*CONVOLUTIONAL, "layerwise"))
        self.initialisation = initialisation
        self.straight_through = straight_through
        image_channels, height, width = spec.image_shape
        if min(height, width) < 16:
            raise ValueError(
                f"conv-vae-switches takes images of 16×16 pixels or more, not {height}×{width}"
            )
        self.before_pools = [(height - 2, width - 2)]
        pooled = tuple(n // 2 for n in self.before_pools[0])
        self.before_pools.append((pooled[0] - 3, pooled[1] - 3))
        last = tuple(n // 2 - 1 for n in self.before_pools[1])
        self.switch_shapes = [
            (c, rows // 2, columns // 2)
            for c, (rows, columns) in zip(channels[:2], self.before_pools, strict=True)
        ]
        first, second, third = channels
        self.features = (third, last[0], last[1])
        size = third * last[0] * last[1]
        self.activation = activation_named(activation)
        self.conv = nn.ModuleList(
            [
                nn.Conv2d(image_channels, first, 3),
                nn.Conv2d(first, second, 4),
                nn.Conv2d(second, third, 2),
            ]
        )
        self.to_hidden = nn.Linear(size, hidden)
        self.heads = nn.Linear(hidden, 2 * latent_dim)
        self.from_code = nn.Linear(latent_dim, size)
        self.transposed = nn.ModuleList(
            [
                nn.ConvTranspose2d(third, second, 2),
                nn.ConvTranspose2d(second, first, 4),
                nn.ConvTranspose2d(first, image_channels, 3),
            ]
        )

    @property
    def side_channel(self) -> tuple[int, float]:
        """The switches: as many numbers, two bits each."""
        switches = sum(c * rows * columns for c, rows, columns in self.switch_shapes)
        return switches, 2.0 * switches

    def initialise(self, data: TrainingData) -> None:
        """Start at He's scale, if asked to, and the decoder from what undoes the encoder."""
        super().initialise(data)
        if self.initialisation == "random":
            return
        start_at_he_scale(self, data, squashed=self.likelihood.squashed)
        if self.initialisation == "layerwise":
            self.start_layer_by_layer(data)

    @torch.no_grad()
    def start_layer_by_layer(self, data: TrainingData) -> None:
        """Undo the encoder's layers in the decoder, from the code outwards.

        The code is made of the last feature map's principal components. Then, in turn, each
        transposed convolution is fitted by ridge regression: given what the decoder has so far, it
        puts out the map that its convolution was given, and at last the inputs (the reconstructions
        that Zhao et al. 2015, arXiv 1506.02351, train for in their what-where autoencoder).
        """
        size = math.prod(self.features)
        some = evenly_spaced(len(data), min(CODED_INPUTS, max(1, CODED_VALUES // size)))
        features = torch.cat([self.feature_maps(data.batch(i))[0] for i in some.split(PART)])
        carried = start_from_components(
            components_of(Values(features), self.latent_dim),
            [self.to_hidden, self.heads],
            [self.from_code],
            offset=0.0,
            squashed=False,
        )
        set_posterior_variance(self.heads, carried)

        x = data.batch(evenly_spaced(len(data), max(1, FITTED_VALUES // self.spec.size)))
        last, pooled, switches = self.feature_maps(x)
        features = self.from_code(self.latent_posterior(last).mu).unflatten(1, self.features)
        targets = [*pooled[::-1], near_logit(x) if self.likelihood.squashed else x]
        for stage, target in enumerate(targets):
            layer = self.transposed[stage]
            assert isinstance(layer, nn.ConvTranspose2d)
            fit_transposed(layer, features, target)
            features = self.undo(stage, features, switches)

    def feature_maps(self, x: Batch) -> tuple[FeatureMap, list[Pooled], list[Switches]]:
        """The last feature map, and what the two poolings left and where it was."""
        maps, pooled, switches = x, [], []
        for convolution in self.conv[:2]:
            maps, where = pool(
                self.activation(convolution(maps)), straight_through=self.straight_through
            )
            pooled.append(maps)
            switches.append(where)
        last: Tensor = self.activation(self.conv[2](maps))
        return last, pooled, switches

    def latent_posterior(self, last: FeatureMap) -> Posterior:
        """The latent numbers' posterior, from the last feature map."""
        mu, log_var = self.heads(self.to_hidden(last.flatten(1))).chunk(2, dim=1)
        return Posterior(mu, log_var)

    def undo(
        self, stage: int, features: FeatureMap, switches: list[Switches]
    ) -> Float[Tensor, "batch outputs height width"]:
        """One stage of the decoder: the transposed convolution, and un-pooling but for the last."""
        maps: Tensor = self.transposed[stage](features)
        if stage == len(switches):
            return maps
        # An odd size lost its last row or column in pooling; the transposed convolution has it.
        return switches[-1 - stage].unpool(self.activation(maps))

    def undo_all(self, latent: Code, switches: list[Switches]) -> Batch:
        """The decoder, whose output the likelihood takes."""
        output: Tensor = self.from_code(latent).unflatten(1, self.features)
        for stage in range(len(self.transposed)):
            output = self.undo(stage, output, switches)
        return output

    def posterior(self, x: Batch) -> Posterior:
        """The latent numbers' posterior, with the switches beside it."""
        last, _, switches = self.feature_maps(x)
        numbers = torch.cat([s.numbers().flatten(1) for s in switches], 1)
        return replace(self.latent_posterior(last), side=numbers.to(last.dtype))

    def bound(self, x: Batch) -> tuple[PerExample, PerExample]:
        """As the base class has it; the decoder is given the switches as they are."""
        last, _, switches = self.feature_maps(x)
        posterior = self.latent_posterior(last)
        output = self.undo_all(posterior.sample(), switches)
        return self.likelihood.negative_log(output, x), posterior.kl()

    def decoder_output(self, z: Code) -> Batch:
        """Un-pools by the switches that follow the latent numbers in z."""
        latent, numbers = z[:, : self.latent_dim], z[:, self.latent_dim :].long()
        flat = numbers.split([math.prod(shape) for shape in self.switch_shapes], dim=1)
        switches = [
            Switches.numbered(some.unflatten(1, shape), size)
            for some, shape, size in zip(flat, self.switch_shapes, self.before_pools, strict=True)
        ]
        return self.undo_all(latent, switches)

    def sample_codes(self, n: int, temperature: float = 1.0) -> Code:
        """Latent numbers from N(0, temperature²), switches uniform over the four places."""
        switches = torch.randint(4, (n, self.side_channel[0]), device=self.device)
        return torch.cat([super().sample_codes(n, temperature), switches.float()], 1)
