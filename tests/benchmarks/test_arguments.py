"""A mistake in a benchmark's arguments is told before torch is imported."""

import subprocess
import sys

CODE = """
import importlib, sys
from conf.errors import UsageError
for name in ("growth", "input", "probe", "report", "start", "train"):
    sys.argv = [name, "--rounds", "none"]
    try:
        importlib.import_module(f"benchmarks.{name}").main()
    except UsageError as error:
        print(error)
print("torch" in sys.modules)
"""


def test_a_wrong_argument_is_one_line_before_torch_is_imported() -> None:
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 7
    assert all("--rounds: 'none' is not a whole number; allowed: [1, 1000]" in line for line in said[:6])
    assert said[6] == "False"
