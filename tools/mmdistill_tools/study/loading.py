"""YAML as it is meant: a mistake is told, not passed over."""

from pathlib import Path
from typing import Any

import yaml

from . import StudyError


def load(path: Path) -> dict:
    """The mapping in a YAML file.

    Raises:
        StudyError: If there is none, or a key of it comes twice.
    """
    try:
        loader = yaml.SafeLoader(path.read_text('utf-8'))
        node = loader.get_single_node()
        _check_unique(path, node)
        content = node and loader.construct_document(node)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(
            f'{path} cannot be read as a study: {error}'
        ) from error
    if not isinstance(content, dict):
        raise StudyError(
            f'{path} must hold a mapping (metrics, baseline, rows, ...), got '
            f'{type(content).__name__}.'
        )
    return content


def _check_unique(path: Path, node: yaml.Node | None) -> None:
    """YAML forbids it; PyYAML would take the last of them."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_unique(path, item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # no text: refused later
        if key.value in seen:
            raise StudyError(
                f'{path}, line {key.start_mark.line + 1}: the key '
                f'{key.value!r} comes twice. Keep one of them.'
            )
        seen.add(key.value)
        _check_unique(path, value)


def check_keys(where: str, found: Any, known: set[str] | None) -> None:
    """A mapping with some of these keys, and no others; None: with any."""
    if not isinstance(found, dict):
        raise StudyError(
            f'{where} must be a mapping, got {type(found).__name__}.'
        )
    wrong = [str(key) for key in found if key not in (known or found)]
    if wrong:
        raise StudyError(
            f'{where} has unknown keys: {", ".join(wrong)}. Expected some of '
            f'{", ".join(sorted(known or ()))}.'
        )


def get_text(where: str, content: dict, key: str, default: str = '') -> str:
    """A text, or a number that stands for one."""
    value = content.get(key, default)
    if isinstance(value, (str, int, float)):
        return str(value)
    raise StudyError(f'{where}: {key} must be a text, got {value!r}.')


def get_bool(where: str, content: dict, key: str, default: bool) -> bool:
    """True or false."""
    value = content.get(key, default)
    if isinstance(value, bool):
        return value
    raise StudyError(f'{where}: {key} must be true or false, got {value!r}.')
