"""The planted bugs still have the code that they were made for; planting them is `make mutants`."""

from tests.optim import mutations
from tests.optim.mutations import ROOT


def test_every_mutant_has_its_text_and_its_tests() -> None:
    mutants = mutations.planned()
    mutations.check(mutants)
    assert all((ROOT / "tests" / "optim" / mutant.tests).is_file() for mutant in mutants)
    assert len({mutant.name for mutant in mutants}) == len(mutants)
