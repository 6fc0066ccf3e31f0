"""What the JSON files of a run folder hold, as far as anyone computes with it: types that readers and writers share.

Keys that a type does not know are let through: a newer version may write them. pydantic compares content with a type;
it is imported with the first comparison, for it takes a fifth of a second.
"""

from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypeVar, cast

from annotated_types import Ge, Gt, Len, Lt
from typing_extensions import TypedDict  # pydantic refuses the one of typing before Python 3.12

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

T = TypeVar("T")
Config = dict[str, Any]
_ADAPTERS: dict[object, "TypeAdapter[Any]"] = {}  # building one takes milliseconds
DEPTH, ENTRIES = 32, 10**5  # of a file's content: levels, and entries of one level


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
    return f"{_where(place)} is {_shown(error['input'])}; allowed: {error['msg'].removeprefix('Input should be ')}"


def _where(place: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "".join(steps).removeprefix(".") or "it"


def _shown(value: object) -> str:
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


Count = Annotated[int, Ge(0)]
Numbers = dict[str, float | None]
Seconds = Annotated[float, Gt(0)]
Span = Annotated[list[float], Len(2, 2)]


class Named(TypedDict):
    """A group of a configuration, a data set's classes included."""

    name: str
    num_classes: NotRequired[Count]


class Semantic(TypedDict):
    """What every configuration has."""

    data: Named
    model: Named
    optimizer: Named
    seed: Count


class Configured(TypedDict):
    """What holds a configuration."""

    config: Semantic


class Platform(TypedDict):
    """What must be equal for equal bits to be expected."""

    device: str | None
    torch: str | None
    threads: Count | None


class Provenance(TypedDict):
    """What a result repeats of environment.json."""

    platform: Platform
    machine: dict[str, str | None]
    one_platform: bool
    attempts: Count
    commits: NotRequired[list[str]]
    dirty: NotRequired[bool | None]
    source: NotRequired[dict[str, str | None]]
    started: NotRequired[float]


class Times(TypedDict, total=False):
    """How long a run took, in seconds."""

    train_seconds: float | None
    epoch_seconds: Numbers
    step_seconds: Numbers


class Reached(TypedDict, total=False):
    """Where a run first came to its target: the metric with its split, and its value there."""

    epoch: Annotated[float, Ge(0)] | None
    step: Annotated[float, Ge(0)] | None
    seconds: Annotated[float, Ge(0)] | None
    metric: str
    value: float


class Target(TypedDict, total=False):
    """The metric, and its value, to which a run was timed; and where it was reached, None if it was not."""

    metric: str | None
    value: float | None
    reached: Reached | None


class Result(Provenance):
    """result.json: what a finished run came to. spans: when each attempt began and ended; not in results of before."""

    schema: Count
    spans: NotRequired[list[Span]]
    id: str
    group_id: str
    config: Config
    labels: dict[str, Any]
    metrics_sha256: str
    weights_sha256: NotRequired[str | None]
    finished: NotRequired[float]
    state: Literal["done", "diverged"]
    metrics: Numbers
    selected: NotRequired[Numbers]
    steps: NotRequired[float | None]
    epochs: NotRequired[float | None]
    parameters: NotRequired[float | None]
    time: NotRequired[Times]
    memory: NotRequired[Numbers]
    target: NotRequired[Target]


class StatusFile(TypedDict):
    """status.json: what the run's process wrote last."""

    state: str
    attempt: Count
    kind: NotRequired[str]
    message: NotRequired[str]


class Attempt(TypedDict):
    """One start of a run: when, by which command line, and where."""

    started: float
    ended: NotRequired[float]
    overrides: list[str]
    versions: dict[str, str]
    commit: NotRequired[str | None]
    dirty: NotRequired[bool | None]
    source: NotRequired[dict[str, str]]
    host: NotRequired[str | None]
    cpu: NotRequired[str | None]
    gpu: NotRequired[str | None]
    device: NotRequired[str | None]
    threads: NotRequired[Count | None]
    budget_seconds: NotRequired[Seconds]


class Environment(TypedDict):
    """environment.json."""

    attempts: list[Attempt]


class ClaimFile(TypedDict):
    """claim-<number>.json: the process that has the run."""

    host: str
    machine: str
    pid: Annotated[int, Gt(0), Lt(2**31)]
    started: str | None
    token: NotRequired[str]
    released: NotRequired[bool]


class MetricsRow(TypedDict, total=False):
    """A line of metrics.jsonl, its metrics apart: an epoch's, or what a probe measured."""

    kind: str
    probe: str
    epoch: float
    step: float
    seconds: float | None
    values: dict[str, float | list[float | None] | None]
    layers: list[str]
