"""The sizes of benchmarks.growth are kept small; nothing here is about speed."""

from pathlib import Path

import pytest

from benchmarks import growth, spent


def test_a_sweep_of_runs_that_do_nothing_ends_with_their_results(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(growth, "RUNS", (3,))
    (point,) = growth.sweeps(1)
    assert point["size"] == 3
    assert point["seconds"] > 0


def test_plans_have_an_empty_cache(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(growth, "RUNS", (3,))
    monkeypatch.setattr(
        growth, "spent", lambda words, **more: seen.append((words, more)) or {"processor seconds": 1.0, "peak MiB": 1.0}
    )
    assert [point["side"] for point in growth.plans(2)] == ["sweep plan", "sweep plan"]
    assert len({more["STEPBENCH_CACHE"] for _, more in seen}) == 2


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(SystemExit, match="python -c raise SystemExit"):
        spent(("-c", "raise SystemExit(3)"))


def test_the_figure_has_seconds_and_memory_of_each_series(tmp_path: Path) -> None:
    points = [{"side": "sweep plan", "size": size, "seconds": size / 10, "MiB": 1.0} for size in (10, 100)]
    drawn = growth.draw({"plan": points, "report": points}, tmp_path / "growth")
    assert {path.suffix for path in drawn} == {".svg", ".pdf", ".png"}
