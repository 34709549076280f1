"""Strict YAML loading: duplicate and unknown keys are errors."""

from pathlib import Path
from typing import Any

import yaml

from . import StudyError


def load(path: Path) -> dict:
    """The mapping in a YAML file.

    Raises:
        StudyError: If there is no mapping, or a key is duplicated.
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
    """Refuse duplicate keys, of which PyYAML would take the last one."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_unique(path, item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # not a string: refused later
        if key.value in seen:
            raise StudyError(
                f'{path}, line {key.start_mark.line + 1}: the key '
                f'{key.value!r} comes twice. Keep one of them.'
            )
        seen.add(key.value)
        _check_unique(path, value)


def check_keys(where: str, found: Any, known: set[str] | None) -> None:
    """Check that ``found`` is a mapping with known keys; None allows any."""
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
    """The value of a key as a string; numbers are converted."""
    value = content.get(key, default)
    if isinstance(value, (str, int, float)):
        return str(value)
    raise StudyError(f'{where}: {key} must be a text, got {value!r}.')


def get_bool(where: str, content: dict, key: str, default: bool) -> bool:
    """The value of a key, which must be a bool."""
    value = content.get(key, default)
    if isinstance(value, bool):
        return value
    raise StudyError(f'{where}: {key} must be true or false, got {value!r}.')


def get_file(where: str, folder: Path, content: dict, key: str) -> Path | None:
    """A file named relative to the folder of the study file, if any."""
    name = get_text(where, content, key)
    if not name:
        return None
    path = folder / name
    if not path.is_file():
        raise StudyError(
            f'{where}: the {key} {path} is not there. Expected the file of a '
            'finished model, relative to the study file.'
        )
    return path


def get_seeds(where: str, value: Any) -> tuple[int, ...]:
    """A list of different whole numbers."""
    right = isinstance(value, list) and value
    if not right or any(type(seed) is not int for seed in value):
        raise StudyError(
            f'{where}: seeds must be a list of whole numbers, such as '
            f'[0, 1, 2], got {value!r}.'
        )
    if len(set(value)) < len(value):
        raise StudyError(f'{where}: a seed comes twice in {value}.')
    return tuple(value)
