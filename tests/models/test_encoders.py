"""Encoders of the transformers library: BERT-base's size, a pretrained folder, and what is refused."""

from pathlib import Path

import pytest
import torch

import models
from conf import groups
from conf.compose import compose

COUNTS = {  # Devlin et al. 2019 say 110 million for BERT-base; transformers' own classes have these
    "span_encoder": 108_893_186,
    "choice_encoder": 109_483_009,
}


def build(name: str, **changes):
    return models.build(groups.raw("model", name) | changes, {"num_classes": 30_522})


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        net = build(name)
    assert sum(parameter.numel() for parameter in net.parameters()) == COUNTS[name]


def rows(*shape: int) -> torch.Tensor:
    made = torch.randint(5, 60, (*shape, 5, 9), generator=torch.Generator().manual_seed(1))
    made[..., 1:, :] = 1
    made[..., 2, 6:] = 0
    return made


@pytest.fixture(scope="module", params=["Bert", "DistilBert"])
def pretrained(request, tmp_path_factory) -> Path:
    import transformers

    sizes = {"vocab_size": 60, "num_hidden_layers": 1, "num_attention_heads": 2}
    wide = {"hidden_size": 8, "intermediate_size": 16} if request.param == "Bert" else {"dim": 8, "hidden_dim": 16}
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(**sizes, **wide)
    folder = tmp_path_factory.mktemp(request.param)
    getattr(transformers, f"{request.param}Model")(config).save_pretrained(folder)
    return folder


def test_a_folder_gives_sizes_and_weights_and_the_head_is_fresh(pretrained: Path) -> None:
    import transformers

    net, fed = build("span_encoder", weights=str(pretrained)).eval(), rows(3)
    own = transformers.AutoModel.from_pretrained(pretrained).eval()
    more = {"token_type_ids": fed[:, 1]} if net.typed else {}
    hidden = own(input_ids=fed[:, 0], attention_mask=fed[:, 2], **more).last_hidden_state
    torch.testing.assert_close(net(fed), net.net.qa_outputs(hidden).movedim(2, 1))
    assert build("choice_encoder", weights=str(pretrained))(rows(2, 4)).shape == (2, 4)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    net, fed = build("span_encoder_small").eval(), rows(2)
    other = fed.clone()
    other[:, 0, 6:] = 7
    torch.testing.assert_close(net(fed)[..., :6], net(other)[..., :6])


def test_the_content_of_the_folder_is_in_the_identity_and_not_its_place(pretrained: Path, tmp_path: Path) -> None:
    words = ("data=squad", "model=span_encoder", "data.synthetic=8")
    prints = [compose([*words, f"model.weights={pretrained}"])["model"]["fingerprint"]]
    for file in pretrained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    prints.append(compose([*words, f"model.weights={tmp_path}"])["model"]["fingerprint"])
    (tmp_path / "tokenizer.json").write_text("{}")
    from conf.content import _digest

    _digest.cache_clear()
    prints.append(compose([*words, f"model.weights={tmp_path}"])["model"]["fingerprint"])
    assert prints[0] == prints[1] != prints[2]


def test_what_cannot_be_is_one_line(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"model\.weights: .*: no pretrained net: [^\n]*$"):
        build("span_encoder", weights=str(tmp_path))
    with pytest.raises(ValueError, match=r"model\.heads: 5 does not divide model\.width=64"):
        build("span_encoder_small", heads=5)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ImportError, match=r"model: transformers not found; pip install transformers"):
        build("span_encoder_small")
