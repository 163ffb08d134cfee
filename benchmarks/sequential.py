"""A faithful sequential E-GAN generation, as published code makes it: the yardstick.

Written from the paper (arXiv 1803.00657) and a description of its public code: one child after the
other, each from a copy of the parent's weights and optimiser; fresh noise for each child; the
discriminator judges the same reals again for each child; Fd by a gradient with a graph behind it;
the best mu are kept; the discriminator trains on their evaluation images. While a generator is
varied, the discriminator's weights get no gradient, and its last layer is a linear one: so it takes
no more time than the authors' own program (docs/performance.md).
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from egan.backbones.dcgan.convolutions import Closing
from egan.mutations import heuristic, least_squares, minimax

MUTATIONS = (minimax, heuristic, least_squares)


class Last(nn.Linear):
    """The logit of the last features (N, C, 4, 4), (N, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


def library_layers(layers: nn.Sequential) -> nn.Sequential:
    """Return the same layers as published code has them: the library's own, none of ours."""

    def plain(layer: nn.Module) -> nn.Module:
        if isinstance(layer, Closing):
            return Last(layer.weight[0].numel(), layer.out_channels, layer.bias is not None)
        for kind in (nn.Conv2d, nn.ConvTranspose2d):
            if isinstance(layer, kind):
                bias = layer.bias is not None
                sizes = (layer.in_channels, layer.out_channels, layer.kernel_size)
                return kind(*sizes, layer.stride, layer.padding, bias=bias)
        return copy.deepcopy(layer)

    return nn.Sequential(*map(plain, layers))


class Plain(nn.Module):
    """A network of `egan.backbones` as an ordinary module, its tensors in torch's default layout.

    `egan` computes convolutions channels-last; published code does not.
    """

    def __init__(self, function, device: torch.device, seed: int) -> None:
        super().__init__()
        with torch.device("meta"):
            self.layers = library_layers(function.module.layers)
        self.layers.to_empty(device=device)
        weights = function.initialise(torch.Generator().manual_seed(seed))
        own, given = self.state_dict(), function.named(weights.params) | dict(weights.buffers)
        self.load_state_dict({name: given[name].view_as(own[name]) for name in own})
        self.convolves = any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return fakes of noise (N, latent), or logits (N,) of samples."""
        latent = self.convolves and x.dim() == 2
        y = self.layers(x[:, :, None, None] if latent else x)
        return y.flatten() if y.numel() == len(y) else y


class SequentialEGAN:
    """mu parents, three mutations, one child at a time."""

    def __init__(self, networks, config, reals: Iterator[Tensor], device: torch.device) -> None:
        self.networks, self.config, self.reals, self.device = networks, config, reals, device
        self.generator = Plain(networks.generator, device, 1)
        self.discriminator = Plain(networks.discriminator, device, 2)
        rate, betas = config.optimizer.learning_rate, config.optimizer.betas
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), rate, betas)
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), rate, betas)
        saved = (self.generator.state_dict(), self.optimizer_g.state_dict())
        self.parents = [copy.deepcopy(saved) for _ in range(config.population.survivors)]
        self.noise = torch.Generator().manual_seed(3)

    def z(self, count: int) -> Tensor:
        return self.networks.noise(count, self.noise).to(self.device)

    def generation(self) -> None:
        """Make, score and select the children; train the discriminator."""
        population, fitness = self.config.population, self.config.fitness
        real_evaluation = next(self.reals)[: fitness.batch]
        children = []
        for parent in self.parents:
            for mutation in MUTATIONS:
                self.vary(parent, mutation, population.batch)
                score, fakes = self.evaluate(real_evaluation, fitness.batch)
                child = (self.generator.state_dict(), self.optimizer_g.state_dict())
                children.append((score, copy.deepcopy(child), fakes))
        children.sort(key=lambda child: -child[0])
        survivors = children[: population.survivors]
        self.parents = [child for _, child, _ in survivors]
        self.train_discriminator(torch.cat([fakes for _, _, fakes in survivors]))

    def vary(self, parent, mutation: Callable[[Tensor], Tensor], batch: int) -> None:
        self.generator.load_state_dict(parent[0])
        self.optimizer_g.load_state_dict(copy.deepcopy(parent[1]))
        self.optimizer_g.zero_grad()
        self.discriminator.requires_grad_(False)
        mutation(self.discriminator(self.generator(self.z(batch)))).backward()
        self.discriminator.requires_grad_(True)
        self.optimizer_g.step()

    def evaluate(self, reals: Tensor, count: int) -> tuple[float, Tensor]:
        with torch.no_grad():
            fakes = self.generator(self.z(count))
        logits_real, logits_fake = self.discriminator(reals), self.discriminator(fakes)
        loss = softplus(-logits_real).mean() + softplus(logits_fake).mean()
        gradients = torch.autograd.grad(loss, self.discriminator.parameters(), create_graph=True)
        with torch.no_grad():
            norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
            quality = torch.sigmoid(logits_fake).mean()
            return (quality - self.config.fitness.gamma * norm.log()).item(), fakes

    def train_discriminator(self, fakes: Tensor) -> None:
        batch = self.config.population.batch
        order = torch.randperm(len(fakes), generator=self.noise).to(self.device)
        for update in range(self.config.discriminator.updates):
            real = next(self.reals)[:batch]
            places = torch.arange(update * batch, (update + 1) * batch) % len(fakes)
            fake = fakes[order[places.to(self.device)]]
            self.optimizer_d.zero_grad()
            loss = softplus(-self.discriminator(real)).mean()
            loss = loss + softplus(self.discriminator(fake)).mean()
            loss.backward()
            self.optimizer_d.step()


class PlainGAN(SequentialEGAN):
    """The same networks without evolution: n_D discriminator steps, then one generator step."""

    def generation(self) -> None:
        batch = self.config.population.batch
        count = batch * self.config.discriminator.updates
        with torch.no_grad():
            fakes = self.generator(self.z(count))
        self.train_discriminator(fakes)
        self.optimizer_g.zero_grad()
        heuristic(self.discriminator(self.generator(self.z(batch)))).backward()
        self.optimizer_g.step()
