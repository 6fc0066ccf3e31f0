"""Biased-MNIST (Bahng et al. 2020): the background of an image has a colour that mostly tells its class."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from data import idx
from data.dataset import Dataset, Place, held_out, uniform
from data.memory import Arrays, Recipe, in_memory

COLOURS = torch.tensor(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [225, 225, 0], [225, 0, 225], [0, 255, 255], [255, 128, 0], [255, 0, 128],
     [128, 0, 255], [128, 128, 128]], dtype=torch.uint8,
)  # fmt: skip
BIASED, UNBIASED = 0, 1  # roles of an image that is evaluated: coloured by its class, or by any class alike


def biased_mnist(
    place: Place,
    recipe: Recipe,
    *,
    images: str = "mnist",
    correlation: float = 0.999,
    verify: bool = True,
    download: bool = False,
    synthetic: int = 0,
) -> Dataset:
    """Colour the images of an idx set, grey values to white; colours depend on an image's place in its part alone.

    images: mnist or fashion_mnist. correlation: share of each class's training images with the class's own colour; the
    rest has the others' in equal parts. Targets of training are classes [B]. Held-out images are there twice, coloured
    by their class and with any colour alike (a correlation of 0.1), with targets [B, 2], the second a role.
    """
    train, test = idx.read(place, verify, download, synthetic, images)
    fit, rest = held_out(len(train[0]), recipe.validation, recipe.split_seed, recipe.train)
    return in_memory(
        place,
        replace(recipe, validation=0.0, train=0),
        coloured((train[0][fit], train[1][fit]), correlation, key=0),
        both((test[0], test[1]), key=1),
        num_classes=10,
        task="debiasing",
        validation=None if rest is None else both((train[0][rest], train[1][rest]), key=2),
    )


biased_fashion_mnist = partial(biased_mnist, images="fashion_mnist")


def both(arrays: Arrays, key: int) -> Arrays:
    """Return images twice, coloured by their class and by any, with targets [2 N, 2]: class and role."""
    (images, labels), (others, _) = (coloured(arrays, share, key) for share in (1.0, 0.1))
    roles = torch.tensor([BIASED, UNBIASED]).repeat_interleave(len(labels))
    return torch.cat((images, others)), torch.stack((labels.repeat(2), roles), 1)


def coloured(arrays: Arrays, correlation: float, key: int) -> Arrays:
    """Return grey images [N, 1, H, W] in colour, [N, 3, H, W], every value but 0 white; key: of the draw of colours."""
    images, labels = arrays
    background = COLOURS[colours(labels, correlation, key)][:, :, None, None]
    return torch.where(images > 0, torch.full((), 255, dtype=torch.uint8), background), labels


def colours(labels: Tensor, correlation: float, key: int) -> Tensor:
    """Draw the number of each image's colour: int(n * correlation) of a class's n its own, the rest in equal parts."""
    draws, found = uniform(key, torch.arange(len(labels)), 1)[:, 0], labels.clone()
    for label in range(len(COLOURS)):
        mine = torch.where(labels == label)[0]
        rest = mine[draws[mine].argsort()][int(len(mine) * correlation) :]
        part = -(-len(rest) // (len(COLOURS) - 1)) or 1
        found[rest] = (label + 1 + torch.arange(len(rest)) // part) % len(COLOURS)
    return found
