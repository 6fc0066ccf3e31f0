"""What the JSON files of a run folder hold, as far as anyone computes with it: types that readers and writers share.

Keys that a type does not know are let through: a newer version may write them. pydantic compares content with a type;
it is imported with the first comparison, for it takes a fifth of a second.
"""

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypeVar, cast

from annotated_types import Ge, Gt, Lt
from typing_extensions import TypedDict  # pydantic refuses the one of typing before Python 3.12

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema, ErrorDetails

T = TypeVar("T")
Config = dict[str, Any]
DEPTH, ENTRIES = 32, 10**5  # of a file's content: levels, and entries of one level
_WORDS = {"dict_type": "a mapping", "list_type": "a list"}  # of pydantic's kinds of errors
_ADAPTERS: dict[object, "TypeAdapter[Any]"] = {}  # building one takes milliseconds


def check(value: object, kind: type[T]) -> T:
    """Return plain data as a value of a type of this module.

    Raises ValueError, one line that names the place, the value and what is allowed.
    """
    from pydantic import ValidationError

    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise ValueError(_complaint(error.errors(include_url=False)[0])) from None
    return cast(T, value)


def _adapter(kind: type[T]) -> "TypeAdapter[T]":
    from pydantic import TypeAdapter

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _complaint(error: "ErrorDetails") -> str:
    place = error["loc"]
    if error["type"] == "missing":
        return f"{_where(place[:-1])} has no {place[-1]!r}"
    return f"{_where(place)} is {shown(error['input'])}; allowed: {_WORDS.get(error['type'], error['msg'])}"


def _where(place: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "".join(steps).removeprefix(".") or "it"


def shown(value: object) -> str:
    """Return plain data as an error shows it."""
    text = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def require_small(value: object) -> None:
    """Raise ValueError for plain data deeper, or with more entries, than any reader goes: hashing them recurses."""
    layer = [value]
    for _ in range(DEPTH):
        inner = (node.values() if isinstance(node, dict) else node for node in layer if isinstance(node, dict | list))
        layer = list(islice(chain.from_iterable(inner), ENTRIES))
        if len(layer) == ENTRIES:
            raise ValueError("too many entries")
    if layer:
        raise ValueError("nested too deep")


@dataclass(frozen=True)
class Allowed:
    """What a value may be, in the words that an error gives it."""

    words: str

    def __get_pydantic_core_schema__(self, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        """Say these words in place of pydantic's own."""
        from pydantic_core import core_schema

        return core_schema.custom_error_schema(handler(source), "allowed", custom_error_message=self.words)


@dataclass(frozen=True)
class Like:
    """An open mapping that has at least what a type asks for."""

    kind: object

    def __get_pydantic_core_schema__(self, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        """Check it as that type."""
        return handler(self.kind)


Flag = Annotated[bool, Allowed("true or false")]
Text = Annotated[str, Allowed("a text")]
TextOrNull = Annotated[str | None, Allowed("a text or null")]
Number = Annotated[float, Allowed("a number")]
NumberOrNull = Annotated[float | None, Allowed("a number or null")]
Count = Annotated[int, Ge(0), Allowed("a whole number from 0")]
CountOrNull = Annotated[Annotated[int, Ge(0)] | None, Allowed("a whole number from 0 or null")]
ProcessId = Annotated[int, Gt(0), Lt(2**31), Allowed("a process's number")]
Series = Annotated[float | list[float | None] | None, Allowed("a number, or a list of numbers, each or null")]
Numbers = dict[str, NumberOrNull]


class Named(TypedDict):
    """A group of a configuration, a data set's classes included."""

    name: Text
    num_classes: NotRequired[Count]


class Semantic(TypedDict):
    """The part of a configuration that can change the result."""

    data: Named
    model: Named
    optimizer: Named
    seed: Count


class Platform(TypedDict):
    """What must be equal for equal bits to be expected."""

    device: TextOrNull
    torch: TextOrNull
    threads: CountOrNull


class Provenance(TypedDict):
    """What a result repeats of environment.json."""

    platform: Platform
    machine: dict[str, TextOrNull]
    one_platform: Flag
    attempts: Count
    commits: NotRequired[list[Text]]
    started: NotRequired[Number]


class Times(TypedDict, total=False):
    """How long a run took, in seconds."""

    train_seconds: NumberOrNull
    epoch_seconds: Numbers
    step_seconds: Numbers


class Target(TypedDict, total=False):
    """The metric, and its value, to which a run was timed."""

    metric: TextOrNull
    value: NumberOrNull


class Result(Provenance):
    """result.json: what a finished run came to."""

    schema: Count
    id: Text
    group_id: Text
    config: Annotated[Config, Like(Semantic)]
    labels: dict[str, Any]
    metrics_sha256: Text
    weights_sha256: NotRequired[TextOrNull]
    state: Annotated[Literal["done", "diverged"], Allowed("done, diverged")]
    metrics: Numbers
    selected: NotRequired[Numbers]
    steps: NotRequired[NumberOrNull]
    epochs: NotRequired[NumberOrNull]
    parameters: NotRequired[NumberOrNull]
    time: NotRequired[Times]
    memory: NotRequired[Numbers]
    target: NotRequired[Target]


class StatusFile(TypedDict):
    """status.json: what the run's process wrote last."""

    state: Text
    attempt: Count
    kind: NotRequired[Text]
    message: NotRequired[Text]


class Attempt(TypedDict):
    """One start of a run: when, by which command line, and where."""

    started: Number
    overrides: list[Text]
    versions: dict[str, Text]
    commit: NotRequired[TextOrNull]
    host: NotRequired[TextOrNull]
    cpu: NotRequired[TextOrNull]
    gpu: NotRequired[TextOrNull]
    device: NotRequired[TextOrNull]
    threads: NotRequired[CountOrNull]


class Environment(TypedDict):
    """environment.json."""

    attempts: list[Attempt]


class ClaimFile(TypedDict):
    """claim-<number>.json: the process that has the run."""

    host: Text
    machine: Text
    pid: ProcessId
    started: TextOrNull
    token: NotRequired[Text]
    released: NotRequired[Flag]


class MetricsRow(TypedDict, total=False):
    """A line of metrics.jsonl, its metrics apart: an epoch's, or what a probe measured."""

    kind: Text
    probe: Text
    epoch: Number
    step: Number
    seconds: NumberOrNull
    values: dict[str, Series]
    layers: list[Text]
