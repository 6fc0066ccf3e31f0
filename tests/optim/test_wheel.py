"""What `pip install` of the repository gives, where there is torch and nothing else of the suite."""

import json
import re
import subprocess
import sys
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

from conf.describe import catalog

ROOT = Path(__file__).resolve().parents[2]
TRAINS = """
import importlib.util, json, torch, stepbench.optim as optim
from torch import nn
assert not [name for name in ("hydra", "yaml", "wandb", "pandas", "conf") if importlib.util.find_spec(name)]
assert optim.build("AdamP", [nn.Parameter(torch.ones(2))]).__module__ == "stepbench.optim.adamp"
for name in optim.list_optimizers():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    x, y = torch.randn(8, 1, 4, 4), torch.arange(8) % 3
    optimizer = optim.create_optimizer(name, net)
    def closure():
        loss = nn.functional.cross_entropy(net(x), y)
        if torch.is_grad_enabled():
            optimizer.zero_grad()
            loss.backward()
        return loss.detach()
    losses = [float(optimizer.step(closure)) for _ in range(10)]
    assert all(map(torch.isfinite, map(torch.tensor, losses))), name
    assert losses[-1] != losses[0], name
from stepbench.optim.library import catalog
print(json.dumps(catalog()))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel and what torch needs."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*build, copied(folder / "source")], check=True)
    venv.create(folder / "bare", symlinks=True, with_pip=False)
    (site,) = (folder / "bare").glob("lib/python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel], check=True
    )
    for dist in needed("torch"):
        for top in {Path(file).parts[0] for file in dist.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(dist.locate_file(top))
    return folder / "bare" / "bin" / "python"


def copied(target: Path) -> Path:
    """The tracked files, so that the build leaves nothing in the checkout."""
    parts = ("optim", "conf", "papers/tuned", "pyproject.toml", "setup.py", "README.md", "LICENSE")
    command = ["git", "ls-files", "-co", "--exclude-standard", *parts]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((ROOT / name).read_bytes())
    return target


def needed(name: str, found: dict[str, Distribution] | None = None) -> list[Distribution]:
    """A distribution and all that it requires here."""
    found = {} if found is None else found
    try:
        found[name] = distribution(name)
    except PackageNotFoundError:  # a requirement of another platform or of an extra
        return []
    for line in found[name].requires or ():
        word = re.match(r"[\w.-]+", line)[0].lower()
        if "extra ==" not in line and word not in found:
            needed(word, found)
    return list(found.values())


@pytest.mark.extras
def test_the_wheel_trains_with_every_optimizer_and_holds_the_configurations(python: Path) -> None:
    done = subprocess.run([python, "-c", TRAINS], cwd=python.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == json.loads(json.dumps(catalog()))
    assert list(python.parents[1].glob("lib/python*/site-packages/stepbench/optim/py.typed"))
