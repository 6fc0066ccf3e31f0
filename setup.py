"""What pyproject.toml cannot say of the build: the optimizers' configurations become one JSON file in the wheel."""

import json
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithCatalog(build_py):
    """Copies the modules, and writes `catalog.json` beside them, which optim/library.py reads."""

    def run(self) -> None:
        super().run()
        sys.path.insert(0, str(ROOT))
        from conf.describe import catalog

        place = Path(self.build_lib, "stepbench", "optim", "catalog.json")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(catalog(), indent=1), encoding="utf-8")


setup(cmdclass={"build_py": BuildWithCatalog})
