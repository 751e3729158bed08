"""Parameters of a step: one frozen pydantic model gives the command line, its help, validation and provenance.

Users type ``name=value`` with any unambiguous part of a dotted name, as in DIALS.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mxdask.errors import ParameterError


class StepParams(BaseModel):
    """Base of every step's ``Params``. Fields: ``Field(default, description="…", json_schema_extra={"unit": "Å"})``.

    A field whose type is another StepParams is a scope: its fields are reached as ``scope.name``. A tuple of them
    (``tuple[Region, ...]``) is a scope that may be given several times, see :func:`parse`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    @model_validator(mode="after")
    def _resolution_limits_in_order(self) -> Self:
        d_min, d_max = getattr(self, "d_min", None), getattr(self, "d_max", None)
        if d_min is not None and d_max is not None and d_min >= d_max:
            raise ValueError(f"d_min={d_min:g} is not below d_max={d_max:g}; d_min is the smaller number, in Å")
        return self

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__qualname__, self.model_dump_json()


class ParameterInfo(typing.NamedTuple):
    """One parameter as the help shows it."""

    path: str
    default: Any
    unit: str
    description: str
    annotation: Any
    block_of: str = ""  # the repeated scope it belongs to


def describe(model: type[StepParams], prefix: str = "") -> Iterator[ParameterInfo]:
    """All parameters of a model, in order of declaration, scopes spelled out."""
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        annotation = info.annotation
        repeated = _repeated_scope(annotation)
        if isinstance(annotation, type) and issubclass(annotation, StepParams):
            yield from describe(annotation, f"{path}.")
        elif repeated is not None:
            yield from (p._replace(block_of=path) for p in describe(repeated, f"{path}."))
        else:
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            default = info.get_default(call_default_factory=True)
            yield ParameterInfo(path, default, str(extra.get("unit", "")), info.description or "", annotation)


def parse(model: type[StepParams], assignments: Iterable[str]) -> StepParams:
    """Build a model from ``name=value`` words; later words win, except that lists of lists grow.

    Values of a repeated scope fill blocks: the scope's first parameter (``untrusted.panel``) begins a new block; any
    other begins one when the last block has it already, and then takes over the first.

    Raises
    ------
    ParameterError : unknown or ambiguous name (the nearest right ones are named), or a value that does not fit.
    """
    parameters = {p.path: p for p in describe(model)}
    values: dict[str, Any] = {}
    for word in assignments:
        name, separator, text = word.partition("=")
        if not separator:
            raise ParameterError(f"{word!r}: parameters are given as name=value")
        info = parameters[resolve(name.strip(), parameters)]
        if info.block_of:
            _into_block(values.setdefault(info.block_of, []), info, parameters.values(), text.strip())
        else:
            values[info.path] = _value(info, text.strip(), values.get(info.path))
    return build(model, values)


def _into_block(
    blocks: list[dict[str, Any]], info: ParameterInfo, parameters: Iterable[ParameterInfo], text: str
) -> None:
    """Put one value of a repeated scope into its last block, or into a new one."""
    name = info.path.removeprefix(f"{info.block_of}.")
    lead = next(p.path for p in parameters if p.block_of == info.block_of).removeprefix(f"{info.block_of}.")
    if not blocks or name == lead:
        blocks.append({})
    elif name in blocks[-1]:
        blocks.append({lead: blocks[-1][lead]} if lead in blocks[-1] else {})
    blocks[-1][name] = _value(info, text, None)


def build(model: type[StepParams], values: dict[str, Any]) -> StepParams:
    """Build a model from {dotted path: value}."""
    nested = _own_defaults(model)
    for path, value in values.items():
        scope = nested
        *parents, leaf = path.split(".")
        for parent in parents:
            scope = scope.setdefault(parent, {})
        scope[leaf] = value
    try:
        return model.model_validate(nested)
    except ValidationError as error:
        raise ParameterError(_complaint(error)) from None


def _own_defaults(model: type[StepParams]) -> dict[str, Any]:
    """What a model presets in its scopes (``crystals: Crystals = Crystals(bad=…)``): setting one value of such a scope
    must not drop the others.
    """
    out: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if isinstance(info.default, StepParams):
            preset = info.default.model_dump(exclude_unset=True) | _own_defaults(type(info.default))
            if preset:
                out[name] = preset
    return out


def _complaint(error: ValidationError) -> str:
    """The first thing pydantic found wrong, as ``name=value: what``."""
    first = error.errors()[0]
    path = ".".join(p for p in first["loc"] if isinstance(p, str))
    value, message = first["input"], first["msg"].removeprefix("Value error, ")
    if isinstance(value, dict):  # the values of a scope do not go together
        return f"{path}: {message}" if path else message
    if isinstance(value, list | tuple):
        if first["type"] == "missing":
            message = f"{len(value)} values are too few"
        value = ",".join(map(str, value))
    return f"{path}={value}: {message[:1].lower()}{message[1:]}"


def resolve(name: str, parameters: Iterable[str]) -> str:
    """The full dotted path a user means by ``name``.

    Tried in turn: the whole path, its last parts, some of its parts with the last among them
    (``integrate.d_min`` → ``integrate.prediction.d_min``), the start of the last part, then any piece of the path
    (``joint`` → ``indexing.joint_indexing``). Of several with that very name the one whose scope holds all the others
    is meant (``method`` → ``indexing.method``, not ``indexing.index_assignment.method``).
    """
    paths = list(parameters)
    for matches in (
        [p for p in paths if p == name],
        [p for p in paths if p.endswith("." + name)],
        [p for p in paths if _is_subsequence(name.split("."), p.split("."))],
        [p for p in paths if p.rsplit(".", 1)[-1].startswith(name)],
        [p for p in paths if name in p],
    ):
        if len(matches) == 1:
            return matches[0]
        outermost = [p for p in matches if all(m.startswith(p.rsplit(".", 1)[0] + ".") for m in matches)]
        if len(outermost) == 1 and outermost[0].endswith("." + name):
            return outermost[0]
        if matches:
            raise ParameterError(f"{name!r} could mean {', '.join(matches)}: say which")
    if (instead := _INSTEAD.get(name.rsplit(".", 1)[-1])) is not None:
        raise ParameterError(f"there is no parameter {name!r}; {instead}")
    leaves: dict[str, str] = {}
    for p in sorted(paths, key=lambda path: path.count(".")):
        leaves.setdefault(p.rsplit(".", 1)[-1], p)
    close = difflib.get_close_matches(name.rsplit(".", 1)[-1], leaves, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(leaves[c] for c in close)}?" if close else "; --help lists them all"
    raise ParameterError(f"there is no parameter {name!r}{hint}")


# What users of DIALS look for under these names.
_INSTEAD = {
    **dict.fromkeys(("nproc", "njobs"), "--workers N says how many threads or processes work"),
    **dict.fromkeys(("experiments", "reflections"), "files have the names of their step; --output-dir DIR says where"),
    **dict.fromkeys(("log", "verbosity"), "all that is printed is in mxdask.STEP.log, too, with more detail"),
}


def _is_subsequence(short: list[str], parts: list[str]) -> bool:
    remaining = iter(parts)
    return short[-1] == parts[-1] and all(any(part == wanted for part in remaining) for wanted in short)


_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _value(info: ParameterInfo, text: str, previous: Any) -> Any:
    """Turn typed text into something pydantic can validate: lists by commas or blanks, None/Auto words as None."""
    kinds = _kinds(info.annotation)
    if text.lower() == "none" or (text.lower() == "auto" and "auto" not in _literals(info.annotation)):
        return None
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            pass
    if tuple in kinds or list in kinds:
        parts: Any = [part for part in text.strip("()[]").replace(",", " ").split() if part]
        return (
            [*previous, parts]
            if _is_nested(info.annotation) and previous
            else ([parts] if _is_nested(info.annotation) else parts)
        )
    if bool in kinds and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return text.lower() if text.lower() in _literals(info.annotation) else text.strip("\"'")


def _options(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _kinds(annotation: Any) -> set[Any]:
    return {typing.get_origin(option) or option for option in _options(annotation)}


def _repeated_scope(annotation: Any) -> type[StepParams] | None:
    """The scope that a ``tuple[Scope, ...]`` repeats, or None."""
    if typing.get_origin(annotation) is not tuple:
        return None
    inner = typing.get_args(annotation)[0]
    return inner if isinstance(inner, type) and issubclass(inner, StepParams) else None


def _literals(annotation: Any) -> set[Any]:
    found: set[Any] = set()
    for option in _options(annotation):
        if typing.get_origin(option) is typing.Literal:
            found.update(typing.get_args(option))
    return found


def _is_nested(annotation: Any) -> bool:
    """Whether the parameter is a list of lists (may be given several times)."""
    for option in _options(annotation):
        if typing.get_origin(option) in (tuple, list):
            inner = typing.get_args(option)[0]
            if any(typing.get_origin(o) in (tuple, list) for o in _options(inner)):
                return True
    return False
