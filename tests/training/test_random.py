"""Random streams, shards and pieces of a batch, mixed images, frozen statistics."""

import pytest
import torch
from torch import nn

from training.contract import freeze
from training.distribution import World
from training.mixing import cutmix, split, unmixed
from training.random import Streams


def test_a_stream_depends_on_seed_name_and_counters_alone() -> None:
    keys = [
        Streams(seed).key(name, *counters) for seed in (0, 1) for name in ("a", "b") for counters in ((), (0,), (1, 0))
    ]
    assert len(set(keys)) == len(keys)
    assert Streams(0).key("a", 1) == Streams(0).key("a", 1) < 2**63
    assert Streams(0).key("order", 3) == 8_483_304_753_239_185_838  # written down: a change orphans every result


def test_a_fork_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with Streams(0).fork("dropout", 1):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(2), expected)
    with Streams(0).fork("dropout", 1):
        assert torch.equal(torch.rand(3), inside)


@pytest.mark.parametrize(("size", "samples"), [(1, 7), (2, 7), (3, 7), (4, 3)])
def test_weighted_shares_make_the_global_mean(size: int, samples: int) -> None:
    losses = torch.randn(samples, dtype=torch.float64)
    parts = [World(rank, size).shard(torch.arange(samples))[:2] for rank in range(size)]
    means = [weight * losses[share].mean() for share, weight in parts]
    torch.testing.assert_close(sum(means) / size, losses.mean())
    assert all(len(share) for share, _ in parts)


@pytest.mark.parametrize(("size", "samples"), [(1, 7), (2, 7), (3, 7), (4, 3)])
def test_the_global_mean_may_be_over_parts_of_samples(size: int, samples: int) -> None:
    """As a translation's mean over subwords: whoever has the longer sentences counts for more."""
    words = torch.arange(1, samples + 1)
    losses = torch.randn(samples, dtype=torch.float64)  # each sample's mean

    def counted(positions: torch.Tensor) -> int:
        return int(words[positions].sum())

    shares = [World(rank, size).shard(torch.arange(samples), size=counted) for rank in range(size)]
    means = [share.weight * (losses * words)[share.positions].sum() / counted(share.positions) for share in shares]
    torch.testing.assert_close(sum(means) / size, (losses * words).sum() / words.sum())


@pytest.mark.parametrize(("size", "samples"), [(1, 7), (2, 29), (3, 7), (4, 3), (2, 128)])
def test_all_processes_split_their_shares_into_the_same_number_of_pieces(size: int, samples: int) -> None:
    batch = torch.arange(samples)
    for wanted in (1, 2, 3, 8, 64, 128):
        numbers = {World(rank, size).shard(batch, wanted).pieces for rank in range(size)}
        (number,) = numbers
        assert 1 <= number <= wanted
        for rank in range(size):
            assert all(len(piece) for piece in World(rank, size).shard(batch).positions.tensor_split(number))


def test_freezing_norms_or_patterns() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    assert freeze(net, "norm_affine") == ["1.weight", "1.bias"]
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == ["1.weight", "1.bias"]
    assert freeze(net, ["2.*"]) == ["2.weight", "2.bias"]
    with pytest.raises(ValueError, match="matches no parameter"):
        freeze(net, ["3.*"])


def test_cutmix_shares_labels_as_it_shares_pixels() -> None:
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 16, 16)
    labels = torch.arange(6)
    for seed in range(20):
        mixed, shares = cutmix(6)((images, labels), torch.Generator().manual_seed(seed))
        counted = torch.stack([(mixed[i] == c).float().mean() for i in range(6) for c in range(6)]).view(6, 6)
        torch.testing.assert_close(counted, shares)
    assert unmixed((images, labels), torch.Generator())[1] is labels


def test_a_batch_of_any_structure_is_split_like_its_tensors() -> None:
    batch = {"image": torch.arange(10).view(5, 2), "labels": (torch.arange(5), [torch.arange(5) * 2])}
    first, second = split(batch, 2)
    assert [len(part["labels"][0]) for part in (first, second)] == [3, 2]
    assert second["image"].tolist() == [[6, 7], [8, 9]]
    assert isinstance(first["labels"], tuple)
    assert first["labels"][1][0].tolist() == [0, 2, 4]
    assert [piece.tolist() for piece in split(torch.arange(5), 3)] == [[0, 1], [2, 3], [4]]
