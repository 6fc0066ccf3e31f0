"""SING in a training loop of your own: nothing of the suite is needed but `optim`.

    python examples/own_loop.py

Trains a small convolutional net on scikit-learn's handwritten digits for 3 epochs, in seconds on one core.
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # not needed where the package is installed

from optim import SING, param_groups

EPOCHS, BATCH = 3, 64


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images [N, 1, 8, 8] in [0, 1] and labels [N]: for training, then for the test."""
    table = load_digits()
    images = torch.tensor(table.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(table.target)
    return images[:1500], labels[:1500], images[1500:], labels[1500:]


def network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 4 * 4, 10)),
    )


def main() -> None:
    torch.manual_seed(0)
    images, labels, test_images, test_labels = digits()
    model = network()
    # SING's decay skips tensors of one dimension by itself. For other optimizers the groups can say it.
    groups = param_groups(model, no_decay="bias_and_norm")
    optimizer = SING(groups, lr=5e-3, weight_decay=5e-3)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)  # any scheduler of torch works

    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss = cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            hits = model(test_images).argmax(1) == test_labels
        print(f"epoch {epoch + 1}: test accuracy {100 * hits.float().mean():.1f} %")


if __name__ == "__main__":
    main()
