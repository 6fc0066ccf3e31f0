"""From a command line to one plain, complete, checked configuration. Torch-free.

Precedence, weakest first: the groups' yaml files, the protocol, the scale, `source`, `tuned`, the command line.
"""

import json
import re
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from conf import grammar, groups, validate, yamls
from conf.errors import UsageError
from conf.fill import config_warnings, fill, replaced_groups, tuned


def compose(overrides: list[str]) -> dict[str, Any]:
    """Compose, fill in and check a run's configuration.

    overrides: as on the command line, `key=value` or `group=option`. Returns plain dicts, lists and scalars, with no
    interpolation left. Raises UsageError (one line) for anything that cannot work and that needs no torch to see.
    """
    renamed = [re.sub(r"^(\+*)canaries\b", r"\1warnings", word) for word in overrides]  # for one release, the old name
    quoted = [grammar.tuned(grammar.path(word)) for word in renamed]
    words = [_listed(_plugged(word)) for word in _plugin_keywords(quoted)]
    try:
        return _checked(words)
    except UsageError as error:
        raise _laid_at_the_protocol(error, words) from error


def _laid_at_the_protocol(error: UsageError, words: list[str]) -> UsageError:
    """Word a mistake that is there because the chosen data set is not the protocol's own; others stay as they are.

    It is one if the command line, without its keys of data and model, fails with the data set and not without.
    """
    chosen = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    bare = [word for word in words if not word.startswith(("data.", "model."))]
    failed = _outcome(bare) if "protocol" in chosen and chosen.get("data") in groups.options("data") else None
    for dropped in (("data=",), ("data=", "model=")) if isinstance(failed, UsageError) else ():
        own = _outcome([word for word in bare if not word.startswith(dropped)])
        if not isinstance(own, UsageError):
            reason = str(failed).partition("; allowed")[0]
            fit = f"made for data={own['data']['name']}, it does not fit data={chosen['data']}"
            return UsageError(f"protocol={chosen['protocol']}: {fit} ({reason})")
    return error


def _outcome(words: list[str]) -> dict[str, Any] | UsageError:
    try:
        return _checked(words)
    except UsageError as error:
        return error


def _checked(words: list[str]) -> dict[str, Any]:
    given = _single(grammar.parse(words))
    validate.command_line(given)
    explicit = {override.key_or_group for override in given}
    config, choices = _composed(words)
    validate.chosen(choices)
    values, notes = tuned(config, choices)
    other = replaced_groups(config, choices, values, explicit)
    if other:
        kept = [word for word in words if word.partition("=")[0] not in other]
        config, now = _composed([*kept, *(f"{group}={option}" for group, option in other.items())])
        validate.chosen(now)
    else:
        now = choices
    fill(config, now, values, explicit)
    config.protocol_name, config.scale_name = now["protocol"], choices["scale"]
    config.notes, config.config_warnings = notes, config_warnings(config, choices, values)
    plain = _plain(config)
    plain["paths"] = {key: grammar.place(place) for key, place in plain["paths"].items()}
    validate.composed(plain, now)
    return _stripped(plain)


def _single(overrides: list[Override]) -> list[Override]:
    """Refuse what only a multirun can make: several values, ranges, globs."""
    for override in overrides:
        if override.is_sweep_override():
            key, values = override.key_or_group, override.get_value_string()
            raise UsageError(
                f"{key}={values}: -m makes a run of each; {key}=[...] is a list, and in quotes it is one word"
            )
    return overrides


def _listed(word: str) -> str:
    """`probe=a,b` chooses both, where Hydra would ask for `probe=[a,b]`."""
    group, _, value = word.partition("=")
    return f"{group}=[{value}]" if group in groups.LISTS and "," in value and value[:1] != "[" else word


def _plugged(word: str) -> str:
    """`optimizer=name` of an installed plug-in is the custom optimizer with the plug-in's class as its target."""
    group, _, name = word.partition("=")
    is_plugin = group == "optimizer" and name in groups.plugins()
    return "optimizer=custom" if is_plugin and not (groups.ROOT / group / f"{name}.yaml").exists() else word


def _plugin_keywords(overrides: list[str]) -> list[str]:
    """A plug-in has no yaml: its keywords travel in `optimizer.args`."""
    chosen = next((word.partition("=")[2] for word in overrides if word.startswith("optimizer=")), "")
    target = groups.plugins().get(chosen)
    if target is None:
        return overrides
    words = [re.sub(r"^optimizer\.(?!args\.)", "optimizer.args.", word) for word in overrides]
    return [*words, f"optimizer.name={chosen}", f"optimizer.target={target}"]


def _composed(words: list[str]) -> tuple[DictConfig, dict[str, Any]]:
    # Keys below a group are forced in, so that validate, which knows what exists, words the mistake.
    forced = [f"++{w.lstrip('+')}" if re.match(r"\+*\w+\.", w) and not w.startswith("hydra.") else w for w in words]
    hydra, outer = GlobalHydra.instance(), GlobalHydra.instance().hydra
    hydra.hydra = None  # where a launcher makes the run Hydra is at work already
    try:
        with initialize_config_dir(str(groups.ROOT), version_base="1.3"):
            config = hydra_compose("train", forced, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, UnicodeError) as error:
        raise _worded(error) from error
    except ValueError as error:  # OmegaConf takes the last part of `data.normalise.mean.x=1` for an index
        raise UsageError(f"command line: a list is given whole, not by its entries: {error}") from error
    finally:
        hydra.hydra = outer
    choices = {k: v for k, v in config.hydra.runtime.choices.items() if k in groups.GROUPS}
    # Hydra does not say which options of a list were chosen; each writes a key of its own name.
    choices |= {group: [key for key in config[group] if key in groups.options(group)] for group in groups.LISTS}
    with open_dict(config):
        del config["hydra"], config["ranges"]
    return config, choices


def _worded(error: BaseException) -> UsageError:
    """Word one of Hydra's own errors."""
    text = str(error)
    key = re.search(r"full_key: (\S+)", text)
    if not key:  # perhaps of a file as a whole, which Hydra does not always name
        for path in sorted(groups.ROOT.rglob("*.yaml")):
            yamls.mapping(str(path), yamls.load(path) or {})
    lines = [line.strip() for line in text.splitlines() if line.strip() and "raised while composing" not in line]
    return UsageError(f"{key[1] if key else 'configuration'}: {lines[0] if lines else type(error).__name__}")


def _plain(config: DictConfig) -> dict[str, Any]:
    missing = OmegaConf.missing_keys(config)
    if missing:
        raise UsageError(f"{min(missing)}: ??? stands for a value that is still to be given")
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise _worded(error) from error
    # Plain scalars only, or an error here rather than in the run's record.
    return yamls.mapping("configuration", json.loads(json.dumps(plain)))


def _stripped(plain: dict[str, Any]) -> dict[str, Any]:
    for group in groups.CHECKED:
        plain[group] = {k: v for k, v in plain[group].items() if k not in groups.RESERVED}
    return {key: value for key, value in plain.items() if key not in groups.CONSUMED}
