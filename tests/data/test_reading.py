"""SQuAD and SWAG in their formats: windows, answers, made-up samples, and what is refused."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from data.needed import FILES, look
from data.reading import choices_small, questions, spans_small, squad, swag, words, write_synthetic
from tests.data.places import one_line, place

TEXT = "Ann saw a red fox near the old mill. The fox ran away."


def question(answer: str = "red fox", start: int = 10, **more: object) -> dict:
    return {"id": "q1", "question": " What did Ann see?", "answers": [{"text": answer, "answer_start": start}], **more}


def written(folder: Path, asked: dict, text: str = TEXT) -> Path:
    content = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": text, "qas": [asked]}]}]}
    for part in FILES["squad"]:
        file = folder / "root" / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return file


def load(folder: Path, **options: object):
    return squad(place(folder, facts={"num_classes": 40}), **options)


def test_a_question_is_a_row_of_tokens_and_its_answer_two_of_them(tmp_path: Path) -> None:
    written(tmp_path, question())
    (loaded,) = load(tmp_path, length=30, stride=8).train.batches([torch.tensor([0])])
    (ids, types, mask, begin, end), ((first, last, number),) = loaded[0][0], loaded[1].tolist()
    assert int(mask.sum()) == 3 + 5 + 15  # [CLS], [SEP] twice, the words and marks of question and text
    assert types.nonzero().flatten().tolist() == [*range(7, 23)]
    assert (first, last, number) == (10, 11, 0)
    places = [(a, b) for a, b in zip(begin.tolist(), end.tolist(), strict=True) if a >= 0]
    assert [TEXT[a:b] for a, b in places] == TEXT.replace(".", " .").split()
    assert (begin >= 0).nonzero().flatten().tolist() == [*range(7, 22)]
    assert ids[0] == 2
    assert ids[23:].tolist() == [0] * 7


def answers(split) -> list[tuple[str, list[str]]]:
    """Return what the targets of the windows that hold an answer stand for."""
    held = (split.targets[:, 0] > 0).nonzero().flatten()
    (first, last, numbers), rows = split.targets[held].unbind(1), split.rows[held].long()
    begin, end = rows[:, 3].gather(1, first[:, None]), rows[:, 4].gather(1, last[:, None])
    return [split.answer(*one) for one in torch.cat((numbers[:, None], begin, end), 1).tolist()]


def test_a_long_text_has_windows_and_one_without_the_answer_points_at_its_first_token(tmp_path: Path) -> None:
    written(tmp_path, question("ran away", TEXT.index("ran away")))
    split = load(tmp_path, length=16, stride=3).train
    assert len(split) > 1
    assert {row[2] for row in split.targets.tolist()} == {0}
    assert 0 < len(answers(split)) < len(split)
    assert {said for said, _ in answers(split)} == {"ran away"}
    shared = [{*row[3].tolist()} - {-1} for row in split.rows]
    assert all(len(one & other) >= 3 for one, other in pairwise(shared))


@pytest.mark.parametrize("stride", [2, 4])
def test_every_answer_of_a_made_up_set_comes_back(stride: int, tmp_path: Path) -> None:
    here = place(tmp_path, facts={"num_classes": 64})
    loaded = spans_small(here, validation=0.1, length=17 + stride, stride=stride, generated=100)
    for split in (loaded.train, loaded.validation, loaded.test):
        assert {number for first, _, number in split.targets.tolist() if first} == {*range(len(split.questions))}
        assert all(said == right for said, (right,) in answers(split))
    assert (len(loaded.train.questions), len(loaded.validation.questions), len(loaded.test.questions)) == (90, 10, 25)


def test_a_made_up_choice_is_the_phrase_of_the_kind_that_is_named(tmp_path: Path) -> None:
    loaded = choices_small(place(tmp_path, facts={"num_classes": 64}), generated=80)
    ((rows, right),) = loaded.test.batches([torch.arange(20)])
    assert rows.shape == (20, 4, 5, 16)
    _, *lines = (tmp_path / "cache" / "synthetic" / "reading-80-v1" / "swag" / "val.csv").read_text().splitlines()
    for line, label in zip(lines, right.tolist(), strict=True):
        fields = line.split(",")
        assert fields[4].split()[1].removeprefix("kind") == fields[7 + label].split("n")[1].split("x")[0]
    assert {*right.tolist()} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("asked", "text", "line"),
    [
        (question(start=11), TEXT, "question q1: 'red fox' is not at character 11 of its text"),
        (question(answers=[]), TEXT, "question q1: no answer"),
        (question(answers=[{"text": "red"}]), TEXT, "not in the format of SQuAD 1.1: 'answer_start'"),
        (question(), 3, "not in the format of SQuAD 1.1"),
        (question() | {"question": None}, TEXT, "not in the format of SQuAD 1.1: 'NoneType' object"),
    ],
)
def test_a_wrong_question_is_one_line(asked: dict, text: str, line: str, tmp_path: Path) -> None:
    file = written(tmp_path, asked, text)
    with one_line(ValueError, file, line):
        questions(file)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    file = written(tmp_path, question())
    with one_line(ValueError, "data.length: too few tokens for a question and text"):
        load(tmp_path, length=8, stride=0)
    with one_line(ValueError, "data.stride: 60 leaves no room in windows of data.length=40"):
        load(tmp_path, length=40, stride=60)
    with one_line(ValueError, "data.validation: 0.1 of 1 images"):
        load(tmp_path, validation=0.1)
    file.write_text('{"data": [\n{]}')
    with one_line(ValueError, file, "line 2: "):
        load(tmp_path)
    file.write_text('{"data": []}')
    with one_line(ValueError, "a part of question_answering has no samples"):
        load(tmp_path)
    file.unlink()
    with one_line(FileNotFoundError, "dev-v1.1.json not found; put train-v1.1.json"):
        load(tmp_path)


def test_a_wrong_line_of_swag_is_named(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "root", 8)
    here = place(tmp_path, facts={"num_classes": 64})
    assert len(swag(here).train) == 8
    file = tmp_path / "root" / "swag" / "val.csv"
    text = file.read_text()
    file.write_text(text.removesuffix("\n")[:-1] + "4\n")
    with one_line(ValueError, file, "line 3 is not a sentence with a label from 0 to 3"):
        swag(here)
    file.write_text(text.replace("ending3", "ending4", 1))
    with one_line(ValueError, file, "its first line is not ,video-id,fold-ind"):
        swag(here)
    file.write_text(text.splitlines()[0] + "\n")
    with one_line(ValueError, "a part of multiple_choice has no samples"):
        swag(here)


def test_the_tokenizer_is_that_of_the_pretrained_net(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "root", 8)
    file, _ = FILES["squad"]
    own = words((text for asked in questions(tmp_path / "root" / file) for text in asked[:2]), 40)
    size = own.get_vocab_size()
    folder = tmp_path / "net"
    folder.mkdir()
    here = place(tmp_path, facts={"num_classes": 40}, pretrained=folder)
    with one_line(ValueError, f"model.weights: {folder / 'tokenizer.json'}: no tokenizer"):
        squad(here)
    own.save(str(folder / "tokenizer.json"))
    assert squad(here, length=24, stride=0).fingerprint == load(tmp_path, length=24, stride=0).fingerprint
    with one_line(ValueError, f"tokenizer.json has {size} tokens, where data.num_classes=12"):
        squad(place(tmp_path, facts={"num_classes": 12}, pretrained=folder))
    (folder / "tokenizer.json").write_text(own.to_str().replace("[PAD]", "[FILL]"))
    with one_line(ValueError, "tokenizer.json has none of [PAD], <pad>"):
        squad(here)


@pytest.mark.parametrize("name", ["squad", "choices_small"])
def test_without_the_library_the_line_names_the_extra(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("data.needed.find_spec", lambda module: None)
    with one_line(
        FileNotFoundError, f"data={name}: tokenizers not found; pip install transformers (the extra `finetune`)"
    ):
        look({"name": name}, tmp_path)
