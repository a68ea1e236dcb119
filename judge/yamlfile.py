"""YAML written by people: strict, bounded, and every complaint names file, line and key."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from judge.errors import ProblemError
from judge.hints import did_you_mean, shorten

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

LIMIT_BYTES = 256 << 10
_DEPTH = 32
_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + kind for kind in ("str", "int", "float", "bool", "null")}
# YAML 1.1 wants a point in a float, so `1e-5` would silently be a string.
_EXPONENT = re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$")


class _Refused(yaml.MarkedYAMLError):
    """YAML, but not YAML we take."""

    def __init__(self, event: yaml.Event, fault: str) -> None:
        super().__init__(None, None, fault, event.start_mark)  # type: ignore[arg-type] # C marks


class _Loader(yaml.SafeLoader):
    """Safe, without aliases (they can grow without bound) and without deep nesting."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        first: [(tag, regexp) for tag, regexp in pairs if tag != _TAG + "timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            fault = "aliases (`*name`) are not supported; write the value out"
            raise _Refused(event, fault)
        if self.depth >= _DEPTH:
            fault = f"nested deeper than {_DEPTH} levels"
            raise _Refused(event, fault)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes whatever `_Loader` would not read back as a string."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+0123456789"))


@dataclass(frozen=True)
class YamlFile:
    """A parsed file that still knows where everything was.

    Attributes:
        name: of the file, as messages show it.
        lines: from the way to a value (keys and indices) to its line, counted from 1.
    """

    name: str
    data: dict[str, Any]
    lines: Mapping[Location, int]

    def line(self, location: Location) -> int:
        """The line of a value, or of the nearest thing around it that is in the file."""
        return self.lines[self._known(location)]

    def error(self, location: Location, message: str) -> ProblemError:
        """An error that points at a value."""
        return ProblemError(self._place(location, message))

    def validate(self, model: type[Model]) -> Model:
        """The data as a model.

        Raises:
            ProblemError: one line per fault, each with file, line, key and remedy.
        """
        try:
            # Through JSON, because pydantic's strict mode then takes lists for tuples and words
            # for enumerations, but still no "2" for 2.
            return model.model_validate_json(json.dumps(self.data), strict=True)
        except ValidationError as error:
            faults = dict.fromkeys(self._explain(model, error))
            raise ProblemError("\n".join(faults)) from error

    def _known(self, location: Location) -> Location:
        while location not in self.lines:
            location = location[:-1]
        return location

    def _place(self, location: Location, message: str) -> str:
        key = _dotted(self._known(location))
        return f"{self.name}:{self.line(location)}: " + (f"`{key}`: " if key else "") + message

    def _explain(self, model: type[BaseModel], error: ValidationError) -> Iterator[str]:
        alternatives: dict[Location, list[str]] = {}
        for fault in error.errors(include_url=False):
            location = self._untagged(fault["loc"])
            if fault["type"] == "extra_forbidden":
                hint = did_you_mean(str(location[-1]), _known_keys(model, fault["loc"][:-1]))
                yield self._place(location, f"unknown key{hint}")
            elif fault["type"] == "missing":
                yield self._place(location[:-1], f"the key `{location[-1]}` is missing")
            elif fault["type"] == "union_tag_not_found":
                yield self._place(location, f"the key {fault['ctx']['discriminator']} is missing")
            elif fault["type"] == "union_tag_invalid":
                tags = [tag.strip(" '") for tag in fault["ctx"]["expected_tags"].split(",")]
                hint = did_you_mean(str(fault["ctx"]["tag"]), tags)
                yield self._place((*location, "kind"), f"unknown kind{hint}")
            elif fault["type"] == "value_error":
                message = str(fault["ctx"]["error"])
                yield self._place(self._mentioned(location, message), message)
            else:
                alternatives.setdefault(self._known(location), []).append(_wrong(fault))
        for location, messages in alternatives.items():
            yield self._place(location, ", or: ".join(messages))

    def _untagged(self, location: Location) -> Location:
        """A location without the names of kinds, which pydantic puts in behind a union's place."""
        kept: Location = ()
        for step in location:
            tag = (*kept, step) not in self.lines and self._known((*kept, "kind")) == (
                *kept,
                "kind",
            )
            if not (tag and self._at((*kept, "kind")) == step):
                kept = (*kept, step)
        return kept

    def _mentioned(self, location: Location, message: str) -> Location:
        """Where the names that a message quotes are, inside the place it came from.

        A validator of a whole model only knows the model; its message names the culprit.
        """
        place = self._known(location)
        for quoted in re.findall(r"'([^']*)'", message):
            inside = [way for way in self.lines if way[: len(place)] == place]
            named = [w[:-1] for w in inside if w[-1:] == ("name",) and self._at(w) == quoted]
            found = named or [w for w in inside if w != place and quoted in (w[-1], self._at(w))]
            place = found[-1] if found else place
        return place

    def _at(self, location: Location) -> Any:
        value: Any = self.data
        for step in location:
            value = value[step]
        return value


def parse_yaml(name: str, content: bytes) -> YamlFile:
    """Reads a mapping.

    Args:
        name: of the file, for messages.

    Raises:
        ProblemError: syntax, size, duplicate keys, aliases, tags, or anything but a mapping.
    """
    if len(content) > LIMIT_BYTES:
        raise ProblemError(f"{name}: {len(content)} bytes, the limit is {LIMIT_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProblemError(f"{name}: not UTF-8 text ({error.reason})") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProblemError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ProblemError(f"{name}: not valid YAML: {error}") from error
    if not isinstance(node, yaml.MappingNode):
        raise ProblemError(f"{name}:1: expected `key: value` lines at the top")
    lines: dict[Location, int] = {(): 1}
    return YamlFile(name, _Reader(name, loader, lines).mapping(node, ()), lines)


def dump_yaml(data: Mapping[str, Any]) -> bytes:
    """The data as YAML that `parse_yaml` reads back equal."""
    text: str = yaml.dump(
        dict(data),
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=100,
    )
    return text.encode()


@dataclass
class _Reader:
    """Turns nodes into data and notes the line of each."""

    name: str
    loader: _Loader
    lines: dict[Location, int]

    def mapping(self, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag != _TAG + "str":
                raise self._error(key_node, "a key must be a plain word; quote it if it is one")
            key = str(self._scalar(key_node))
            if key in result:
                raise self._error(key_node, f"the key `{shorten(key)}` is there twice; keep one")
            self.lines[(*at, key)] = key_node.start_mark.line + 1
            result[key] = self._value(value_node, (*at, key))
        return result

    def _value(self, node: yaml.Node, at: Location) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, at)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            result = []
            for index, item in enumerate(node.value):
                self.lines[(*at, index)] = item.start_mark.line + 1
                result.append(self._value(item, (*at, index)))
            return result
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node)
        raise self._error(node, f"the tag {node.tag!r} is not supported")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            value = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._error(node, f"cannot read this value: {error}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(node, f"{value} is not a finite number")
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise self._error(node, "the number does not fit 64 bits")
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            raise self._error(node, "the text contains half a surrogate pair")
        return value

    def _error(self, node: yaml.Node, message: str) -> ProblemError:
        return ProblemError(f"{self.name}:{node.start_mark.line + 1}: {message}")


def _wrong(fault: ErrorDetails) -> str:
    value = fault["input"]
    got = "" if isinstance(value, dict | list) else f" (got {shorten(repr(value))})"
    return fault["msg"] + got


def _dotted(location: Location) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return shorten(text.removeprefix("."))


def _known_keys(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """The field names of the model that a location of pydantic's inside `model` leads to."""
    kind: Any = model.model_fields["root"].annotation if issubclass(model, RootModel) else model
    for step in location:
        kind = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(step)].annotation
        elif get_origin(kind) in (Union, UnionType):  # of models told apart by their `kind`
            tagged = [
                a for a in get_args(kind) if step in get_args(a.model_fields["kind"].annotation)
            ]
            kind = tagged[0]
        else:  # tuple[Item, ...] or dict[Key, Item]
            kind = [a for a in get_args(kind) if a is not Ellipsis][-1]
    return list(kind.model_fields) if issubclass(kind, BaseModel) else []
