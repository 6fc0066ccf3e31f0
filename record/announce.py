"""Telling of a run that is finished, before anything heavy is imported."""

from typing import Any

from record.identity import complete, run_folder
from record.read import read_result
from record.tidy import settle


def skip_if_finished(config: dict[str, Any]) -> bool:
    """Tell, in one line, of a run that is finished; False, and nothing said, if it is not.

    What a process left undone that died after writing the result is done first.
    """
    folder = run_folder(config["paths"]["store"], complete(config))
    result = read_result(folder)
    if result is not None:
        settle(folder)
        print(f"already there: {result['state']}  {headline(result['metrics'])}  {folder}")
    return result is not None


def headline(metrics: dict[str, Any]) -> str:
    """Write the numbers of a result that a person looks at first."""
    shown = [key for key in metrics if key.startswith("test_") and isinstance(metrics[key], float | int)]
    return "  ".join(f"{key} {metrics[key]:.4g}" for key in shown)
