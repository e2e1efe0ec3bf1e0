"""TaskFlows from YAML files, for what runs without an API server: the same YAML, the same refusals.

Errors are sentences that name the field and the fix.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from taskflow_core.errors import ValidationFailed
from taskflow_operator.resources.sentences import kind_of, sentences
from taskflow_operator.resources.v1alpha1 import GROUP, KIND, VERSION, TaskFlow

_API_VERSION = f"{GROUP}/{VERSION}"


class InvalidFlow(ValidationFailed):
    """A file has no valid TaskFlow; `problems` are sentences, one for each fault."""

    title = "The file has no valid TaskFlow"

    def __init__(self, path: Path, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))


def load(path: Path, name: str | None = None) -> TaskFlow:
    """Return the one TaskFlow in a file, or the one called `name`. Raises `InvalidFlow`."""
    flows = load_all(path)
    if name is not None:
        flows = [flow for flow in flows if flow.metadata.name == name]
        if not flows:
            raise InvalidFlow(path, [f"no TaskFlow called {name}; look at metadata.name"])
    if len(flows) > 1:
        names = ", ".join(flow.metadata.name for flow in flows)
        raise InvalidFlow(path, [f"has {len(flows)} TaskFlows ({names}); say which one"])
    return flows[0]


def load_all(path: Path) -> list[TaskFlow]:
    """Return every TaskFlow in a file; documents of other kinds are passed over.

    Raises `InvalidFlow` with all faults of all TaskFlows, or if there is none.
    """
    documents = [one for one in _documents(path) if one is not None]
    flows, problems = [], []
    for document in documents:
        if not isinstance(document, Mapping):
            problems.append(f"a document is {kind_of(document)}; a TaskFlow is a mapping of fields")
        elif document.get("kind", KIND) == KIND:
            try:
                flows.append(_validated(document))
            except ValidationError as error:
                problems += [_of(document) + one for one in sentences(error)]
    if not (flows or problems):
        problems.append(
            f"has no TaskFlow; one begins with apiVersion: {_API_VERSION}, kind: {KIND}"
        )
    if problems:
        raise InvalidFlow(path, problems)
    return flows


def _documents(path: Path) -> list[Any]:
    try:
        return list(yaml.load_all(path.read_text(), Loader=_Loader))
    except OSError as error:
        raise InvalidFlow(path, [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError:
        raise InvalidFlow(path, ["is not text in UTF-8"]) from None
    except yaml.YAMLError as error:
        raise InvalidFlow(path, [f"is not YAML: {_where(error)}"]) from error


class _Loader(yaml.SafeLoader):
    """As strict as `kubectl apply`, which refuses a field that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} stands twice; keep one", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# dates stay text, as they do for the API server
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem


def _validated(document: Mapping[str, Any]) -> TaskFlow:
    body = {key: value for key, value in document.items() if key != "status"}
    return TaskFlow.model_validate(body, extra="forbid")


def _of(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"{name}: " if name else ""
