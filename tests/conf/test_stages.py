"""What the command line knows of stages without torch is what their classes take."""

import inspect

import pytest

from conf import stages
from conf.compose import compose
from conf.errors import UsageError
from optim.stages import by_name
from optim.stages.base import Evaluation, Hyper, Stage


@pytest.mark.parametrize("kind", [Stage, Evaluation])
def test_the_source_is_read_as_python_reads_it(kind: type) -> None:
    found, classes = stages.known(kind.__name__), by_name.known(kind)
    assert found.keys() == classes.keys()
    for name, cls in classes.items():
        taken = {} if cls.__init__ is Hyper.__init__ else inspect.signature(cls).parameters
        named = {n: p.default is p.empty for n, p in taken.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
        assert found[name] == stages.Form(cls.name, named, takes_any=len(named) < len(taken)), name


def test_a_chain_is_composed_from_names() -> None:
    words = "[centralize,normalize,{adam:{denominator:softplus}},{adam:{name:second}},my.module.stage]"
    made = compose(["optimizer=chain", f"optimizer.stages={words}", "optimizer.evaluation={ascent:{rho:0.1}}"])
    wanted = ["centralize", "normalize", {"adam": {"denominator": "softplus"}}, {"adam": {"name": "second"}}]
    assert made["optimizer"]["stages"] == [*wanted, "my.module.stage"]
    assert made["optimizer"]["evaluation"] == {"ascent": {"rho": 0.1}}
    assert compose(["optimizer=sing", "optimizer.base={yogi:{eps:1e-3}}"])["optimizer"]["base"] == {
        "yogi": {"eps": 1e-3}
    }
    assert compose(["optimizer=sam", "optimizer.base=[adam,radial_projection]"])["optimizer"]["base"][0] == "adam"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("optimizer=chain optimizer.stages=[centralize,adamm]", "optimizer.stages: unknown 'adamm'; .*; nearest: adam"),
        (
            "optimizer=chain optimizer.stages=[{adam:{beta:1}}]",
            "optimizer.stages: adam: unknown 'beta'; .*; nearest: betas",
        ),
        ("optimizer=chain optimizer.stages=[{centralize:{dim:1}}]", "optimizer.stages: centralize: unknown 'dim'"),
        ("optimizer=chain optimizer.stages=[adam,adam]", "optimizer.stages: adam is there twice; give one a name"),
        ("optimizer=chain optimizer.stages=[sphere_adam_repo]", "optimizer.stages: sphere_adam_repo needs 'betas'"),
        ("optimizer=chain optimizer.stages=[]", "optimizer.stages: an empty list; allowed: "),
        ("optimizer=chain optimizer.stages=[3]", "optimizer.stages: 3 is neither a name nor "),
        ("optimizer=chain optimizer.stages=[{adam:3}]", "optimizer.stages: {'adam': 3} is neither a name nor "),
        ("optimizer=chain optimizer.stages=[sgd]", "optimizer.stages: unknown 'sgd'"),
        ("optimizer=chain optimizer.evaluation=asc", "optimizer.evaluation: unknown 'asc'; .*; nearest: ascent"),
        ("optimizer=sing optimizer.base=adm", "optimizer.base: unknown 'adm'; .*; nearest: adam"),
    ],
)
def test_a_mistake_is_one_line_before_torch(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}") as caught:
        compose(words.split())
    assert "\n" not in str(caught.value)
