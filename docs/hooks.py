"""Pages of the site that are made from the suite itself: every configuration key, every optimizer's class.

mkdocs calls `on_files`. Nothing here imports torch: the keys come from the code that answers `train.py --help` and
checks the command line, the classes from their source text. mkdocs is imported where it is needed, so that the tests
can make the pages without it.
"""

import json
from typing import TYPE_CHECKING, Any

from conf import describe, groups
from conf.describe import Row

if TYPE_CHECKING:
    from markdown import Markdown
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

OVERLAYS = tuple(group for group in groups.GROUPS if group not in groups.CHECKED)
SENTENCES = {
    "data": "Which data set is trained on, and how its images are augmented.",
    "task": "How a batch becomes a loss, and what is measured. `auto` is the data set's own (`data.task`).",
    "model": "Which network is trained.",
    "optimizer": "Which optimizer trains it. Formulas and sources: [Optimizers](../../optimizers.md).",
    "schedule": "How the learning rate changes during the run.",
    "budget": "When the run ends.",
    "probe": "What is measured at a step; several at once: `probe=norms,spherical`. [More](../../figures.md).",
    "logger": "Where metrics go beside the run's own folder; several at once.",
    "paths": "Where files are read and written.",
    "protocol": "What a paper fixes for an experiment. It writes to the root. More in [Protocols](../../protocols.md).",
    "experiment": "A command line with a name, for `experiment=NAME`. It writes to the root, over protocol and scale.",
    "scale": "How large a table's runs are. It writes to the root. More in [Sweeps](../../sweeps.md).",
}


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Leave `<x, y>` in a formula as it is, as GitHub does; Python-Markdown takes it for an HTML tag."""
    from markdown import Extension

    class NoTags(Extension):
        def extendMarkdown(self, md: "Markdown") -> None:
            md.inlinePatterns.deregister("html")

    config.markdown_extensions.append(NoTags())
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages to those of docs/."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> dict[str, str]:
    """Return path -> Markdown of every page that is made here."""
    made = {f"reference/config/{group}.md": group_page(group) for group in groups.GROUPS}
    return made | {"reference/config/root.md": root_page(), "reference/classes.md": classes_page()}


def root_page() -> str:
    chosen = [
        f"- [`{group}`]({group}.md): {', '.join(f'`{o}`' for o in groups.options(group))}" for group in groups.GROUPS
    ]
    return "\n".join([
        "# Root keys\n\n`key=value` on the command line of `train.py`; a group is chosen by `group=option`, and its",
        "keys are set by `group.key=value`. `python train.py ... --cfg job` prints the whole configuration of a run.\n",
        table(describe.root_rows()), "\n## Groups\n", *chosen, "",
    ])  # fmt: skip


def group_page(group: str) -> str:
    section = overlay_section if group in OVERLAYS else option_section
    return "\n".join(
        [f"# {group}\n\n{SENTENCES[group]}\n", *(section(group, option) for option in groups.files(group))]
    )


def option_section(group: str, option: str) -> str:
    """Describe one option of a group: its first comment, its target, its keys."""
    content, rows = groups.raw(group, option), describe.option_rows(group, option)
    facts = [f"`{content['target']}`, version {content['version']}\n"] if "version" in content else []
    facts += [f"`source={name}` sets `{json.dumps(values)}`\n" for name, values in content.get("sources", {}).items()]
    return "\n".join([f"## {option}\n", describe.summary(group, option) + "\n", *facts, table(rows) if rows else ""])


def overlay_section(group: str, option: str) -> str:
    """Describe a protocol or a scale: its first comment, and what it sets."""
    body = [line for line in describe.text(group, option).splitlines() if not line.startswith("#")]
    return "\n".join([f"## {option}\n", describe.summary(group, option) + "\n", "```yaml", *(body or ["{}"]), "```\n"])


def classes_page() -> str:
    """List every class of optim that a yaml names, with the options that choose it."""
    targets: dict[str, list[str]] = {}
    for option in groups.files("optimizer"):
        targets.setdefault(str(groups.raw("optimizer", option)["target"]), []).append(option)
    own = {target: options for target, options in sorted(targets.items()) if target.startswith("optim.")}
    lines = [
        "# Optimizers, classes\n\nEach works in any PyTorch loop: `from optim import SING`. All take the keywords of",
        "[Options](#optim.chain.Options) too, and param groups from [param_groups](#optim.invariance.param_groups).\n",
        "## Classes\n",
    ]
    for target, options in own.items():
        lines.append(f"::: {target}\n\nChosen by {', '.join(f'`optimizer={option}`' for option in options)}.\n")
        lines.append(table(describe.option_rows("optimizer", options[0])))
    shared = ("optim.chain.Chain", "optim.chain.Options", "optim.invariance.param_groups", "optim.build.build")
    return "\n".join([*lines, "## What they share\n", *(f"::: {name}\n" for name in shared)])


def table(rows: list[Row]) -> str:
    lines = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    for key, default, allowed, meaning in rows:
        choices = ", ".join(map(str, allowed)) if isinstance(allowed, list) else allowed or ""
        cells = (f"`{key}`", f"`{_word(default)}`", choices, meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _word(default: Any) -> str:
    return default if isinstance(default, str) else json.dumps(default)
