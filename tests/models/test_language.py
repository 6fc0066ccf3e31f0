"""Language models: parameters, dropout that holds along a window, and a state that makes two windows one."""

import pytest
import torch

import models
from conf import groups
from models.transformer_xl import sinusoids
from optim.invariance import scale_invariant

# name -> words, parameters. Transformer-XL's own code has 151,107,538, of which 1,233 are its adaptive softmax's.
COUNTS = {
    "lstm": (10_000, 24_221_600),
    "lstm_small": (5_000, 777_096),
    "transformer_xl": (267_735, 151_106_305),
    "transformer_xl_small": (5_000, 941_960),
    "transformer_iwslt": (10_000, 31_543_296 + 10_000 * 512),  # fairseq's layers; its published vocabulary has 10,152
}
QUIET = dict.fromkeys(("dropout", "dropout_words", "dropout_input", "dropout_hidden", "dropout_weights"), 0.0)


def build(name: str, words: int, **changes):
    return models.build(groups.raw("model", name) | changes, {"num_classes": words})


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name: str) -> None:
    words, count = COUNTS[name]
    with torch.device("meta"):
        net = build(name, words)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_lstm_is_torchs_stack_and_two_windows_are_one(layers: int) -> None:
    torch.manual_seed(0)
    net = build("lstm", 30, layers=layers, embedding=6, hidden=8).double().eval()
    words = torch.randint(30, (4, 11))
    whole, last, penalty = net(words)
    first, state, _ = net(words[:, :7])
    second, state, _ = net(words[:, 7:], state)
    torch.testing.assert_close(torch.cat((first, second), 1), whole)
    torch.testing.assert_close(state, last)
    assert penalty == 0
    x = net.words(words)
    for layer in net.layers:
        x, _ = layer(x)
    torch.testing.assert_close(whole, x @ net.words.weight.T + net.output_bias)


def test_dropout_is_the_same_at_every_step_and_the_penalties_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    net = build("lstm", 30, layers=1, embedding=50, **QUIET | {"dropout_input": 0.5}).double()
    x = torch.ones(3, 5, 50, dtype=torch.float64)
    dropped = net._locked(x, 0.5)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    words = torch.randint(30, (3, 5))
    net = build("lstm", 30, layers=1, embedding=50, **QUIET).double()
    outputs, _ = net.layers[0](net.words(words))
    expected = 2 * outputs.square().mean() + (outputs[:, 1:] - outputs[:, :-1]).square().mean()
    torch.testing.assert_close(net(words)[2], expected)


def test_weights_are_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    net = build("lstm", 30, layers=2, embedding=6, hidden=8, **QUIET | {"dropout_weights": 0.5})
    words = torch.randint(30, (2, 4))
    assert not torch.equal(net(words)[0], net(words)[0])
    assert torch.equal(net.eval()(words)[0], net(words)[0])


SMALL = {"layers": 2, "width": 12, "heads": 3, "inner": 16, "dropout": 0.0}


def xl(**changes):
    torch.manual_seed(0)
    net = build("transformer_xl", 30, **SMALL | changes).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def test_a_segment_with_its_memory_is_the_whole_text() -> None:
    """With a memory as long as the text, what is remembered is all that attention would see."""
    net, words = xl(memory=20), torch.randint(30, (2, 11))
    whole, _, _ = net(words)
    first, memory, _ = net(words[:, :4])
    second, memory, _ = net(words[:, 4:9], memory)
    third, memory, _ = net(words[:, 9:], memory)
    torch.testing.assert_close(torch.cat((first, second, third), 1), whole)
    assert [kept.shape for kept in memory] == [(2, 11, 12)] * 2
    short, memory, _ = xl(memory=3)(words)
    assert [kept.shape for kept in memory] == [(2, 3, 12)] * 2
    torch.testing.assert_close(short, whole)  # the memory is for the segments that follow


def test_attention_is_the_papers_sum_for_each_pair_of_words() -> None:
    """Section 3.3: content with content, content with distance, and both of them with a bias of all queries."""
    net = xl()
    attention, u, v = net.layers[0].attention, net.content_bias, net.distance_bias
    x, memory, width = torch.randn(1, 3, 12).double(), torch.randn(1, 2, 12).double(), 4
    waves = sinusoids(5, x)
    found = attention(x, memory, waves, u, v)
    whole, rows = torch.cat((memory, x), 1)[0], []
    for i in range(3):
        heads = []
        for head in range(3):
            part = slice(head * width, (head + 1) * width)
            query, scores = attention.query(x[0, i]), []
            for j in range(i + 3):  # its memory of two words, and the words up to its own
                distance = attention.distance(waves[4 - (i + 2 - j)])[part]
                score = (query + u)[part] @ attention.key(whole[j])[part] + (query + v)[part] @ distance
                scores.append(score / width**0.5)
            shares = torch.stack(scores).softmax(0)
            heads.append(shares @ torch.stack([attention.value(whole[j])[part] for j in range(i + 3)]))
        rows.append(attention.out(torch.cat(heads)))
    torch.testing.assert_close(found[0], torch.stack(rows))


def test_weight_norm_makes_directions_that_are_found_to_be_scale_invariant() -> None:
    net, words = xl(weight_norm=True), torch.randint(30, (2, 6))
    kinds = scale_invariant(net)
    directions = {name for name, _ in net.named_parameters() if name.endswith("original1")}
    assert kinds == dict.fromkeys(directions, "channel")
    assert len(directions) == 2 * (5 + 2)
    before = net(words)[0]
    with torch.no_grad():
        for name in directions:
            net.get_parameter(name).mul_(torch.rand(len(net.get_parameter(name)), 1).double() + 0.5)
    torch.testing.assert_close(net(words)[0], before)
    assert scale_invariant(xl()) == {}


def test_a_translation_does_not_see_what_follows_nor_the_padding() -> None:
    torch.manual_seed(0)
    net = build("transformer_small", 20, width=16, inner=16).double().eval()
    source, target = torch.randint(1, 20, (2, 5)), torch.randint(1, 20, (2, 6))
    logits = net(source, target)
    assert logits.shape == (2, 6, 20)
    torch.testing.assert_close(net(source, target[:, :3]), logits[:, :3])
    padded = torch.cat((source, torch.zeros(2, 3, dtype=torch.int64)), 1)
    torch.testing.assert_close(net(padded, target), logits)
