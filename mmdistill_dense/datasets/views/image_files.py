"""Lists the images of a data set without opening them."""

import json
import os
from pathlib import Path

#: Compared case-insensitively: ImageNet's files end in ``.JPEG``.
SUFFIXES = {
    '.bmp',
    '.jpeg',
    '.jpg',
    '.pgm',
    '.png',
    '.ppm',
    '.tif',
    '.tiff',
    '.webp',
}


def find_images(folder: str) -> list[str]:
    """Paths of all images below a folder, at any depth, sorted.

    Links are followed; hidden files and folders are skipped. No single file
    is opened or queried, so a million files take seconds.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError: If a folder in it cannot be read.
        ValueError: If it contains no image.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f'the folder of images {folder!r} does not exist (from '
            f'{os.getcwd()!r}). It is data_root and images joined: correct '
            'one of them.'
        )
    paths = [
        os.path.join(where, name)
        for where, folders, names in os.walk(
            folder, onerror=_raise, followlinks=True
        )
        if _keep_visible(folders)
        for name in names
        if is_image(name)
    ]
    if not paths:
        raise ValueError(
            f'{folder!r} holds no image at any depth: expected files that '
            f'end in one of {", ".join(sorted(SUFFIXES))}. Usual cause: '
            'another folder, or an archive that is not unpacked.'
        )
    return sorted(paths)


def is_image(name: str) -> bool:
    """Whether a file name is that of an image; ``._x.jpg`` is not."""
    return (
        not name.startswith('.')
        and os.path.splitext(name)[1].lower() in SUFFIXES
    )


def _keep_visible(folders: list[str]) -> bool:
    """Remove hidden folders, so that ``os.walk`` skips them."""
    folders[:] = [name for name in folders if not name.startswith('.')]
    return True


def _raise(error: OSError) -> None:
    raise error


def listed_images(ann_file: str, folder: str) -> list[str]:
    """Paths of the images that a COCO annotation file names, sorted.

    Args:
        ann_file: The file; each of its ``images`` has a ``file_name``.
        folder: Folder that the names are relative to.

    Raises:
        FileNotFoundError: If the file, or an image that it names, is missing.
        ValueError: If it is no annotation file of COCO, or names no image.
    """
    names = sorted(set(_coco_file_names(ann_file)))
    paths = [os.path.join(folder, name) for name in names]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(
            f'{ann_file}: {len(missing)} of {len(paths)} images that it names '
            f'are not there: {", ".join(missing[:3])}'
            f'{", ..." if len(missing) > 3 else ""}. Set images to the folder '
            'that the names are relative to.'
        )
    return paths


def _coco_file_names(ann_file: str) -> list[str]:
    if not os.path.isfile(ann_file):
        raise FileNotFoundError(
            f'the annotation file {ann_file!r} does not exist (from '
            f'{os.getcwd()!r}). Correct ann_file, or leave it out to take '
            'every image below the folder.'
        )
    try:
        listed = json.loads(Path(ann_file).read_text(encoding='utf-8'))
        names = [str(image['file_name']) for image in listed['images']]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{ann_file!r} is no annotation file of COCO: expected '
            'JSON with images=[{file_name: ...}, ...], got '
            f'{type(error).__name__}: {error}.'
        ) from error
    if not names:
        raise ValueError(f'{ann_file!r} names no image: images is empty.')
    return names
