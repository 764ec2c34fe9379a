"""Which class of the data set is which output of the model."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from atlas.errors import DataError
from ingest.builds import ModelSpec, library_of
from ingest.images import ImageRecord, ImageSet

if TYPE_CHECKING:
    from ingest.models import VisionModel

_WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassMap:
    """K classes: the names, the model's output of each, and the class of each folder.

    Every output of the model has a class, also those without a folder, so K is the number of outputs.
    """

    names: tuple[str, ...]
    outputs: tuple[int, ...]
    of_folder: tuple[int, ...]
    """Class of each folder of the image set."""
    source: str
    """What the mapping rests on, for provenance."""

    def label(self, image: ImageRecord) -> int | None:
        """Class of an image, None without a folder."""
        return None if image.label is None else self.of_folder[image.label]


def map_classes(model: VisionModel, images: ImageSet, file: Path | None = None) -> ClassMap:
    """Map the folders of an image set to the outputs of a model.

    The first of these that applies: the names in ``file``; the categories of the model's weights, if they
    contain every folder's name; output i is folder i of the sorted folders, if the counts agree. Folders may
    be a subset of the classes in the first two. Without folders the outputs are named by file, categories or
    number.

    Parameters
    ----------
    model : its number of outputs and categories are read.
    images : its folders are read.
    file : one name a line in the order of outputs, each line optionally ``n01440764 name``; or JSON: a list of names,
        or an object {output: name} or {output: [WordNet id, name]}.

    Raises
    ------
    DataError : the file is not such a list or names too few or too many outputs, a folder is not in it or is
        ambiguous, or the counts differ and nothing else says which output a folder is.
    """
    folders, outputs = images.folders, model.outputs
    if images.numbered:
        return _numbered(model, images, file)
    if file is not None:
        lines = _read(file, outputs)
        found = _match(folders, lines)
        missing = [folder for folder in folders if len(found[folder]) != 1]
        if missing:
            raise DataError(
                "a folder's class is not named once in the class file",
                where=f"{file}: {missing[0]}",
                expected="each folder's name on one line",
                got=f"{len(missing)} of {len(folders)} folders without one",
                next_step="name the classes as the folders are named",
            )
        return _made(
            [names[-1] for names in lines], [found[folder][0] for folder in folders], f"file:{file.name}"
        )
    if model.categories is not None and len(model.categories) == outputs:
        found = _match(folders, [(name,) for name in model.categories])
        if all(len(found[folder]) == 1 for folder in folders):
            return _made(model.categories, [found[folder][0] for folder in folders], "categories")
    if not folders:
        return _made([str(i) for i in range(outputs)], [], "numbers")
    if len(folders) != outputs:
        raise DataError(
            "the data's classes are not the model's",
            where=images.root,
            expected=f"{outputs} class folders for {outputs} outputs, or folders named as the weights' categories",
            got=f"{len(folders)} folders ({', '.join(folders[:3])}{', …' if len(folders) > 3 else ''})",
            next_step="name the outputs in order, one a line, with --classes FILE",
        )
    readable = model.categories is not None and all(map(_WORDNET.fullmatch, folders))
    names = model.categories if readable and model.categories is not None else folders
    return _made(names, range(outputs), "sorted folders")


def with_texts(spec: ModelSpec, images: ImageSet, file: Path | None) -> ModelSpec:
    """A CLIP model's spec with the class names that its outputs shall stand for; any other as it is.

    The names of ``file``, or those of the folders. Raises DataError for a file that cannot be read.
    """
    if library_of(spec.model) != "clip" or spec.texts is not None:
        return spec
    if file is not None:
        return replace(spec, texts=tuple(names[-1] for names in _read(file, None)))
    return spec if images.numbered or not images.folders else replace(spec, texts=images.folders)


def _numbered(model: VisionModel, images: ImageSet, file: Path | None) -> ClassMap:
    """Classes of data that labels them by numbers: number i is output i, named by file or weights if at all."""
    count, outputs = len(images.folders), model.outputs
    if count > outputs:
        raise DataError(
            "the data's classes are not the model's",
            where=images.root,
            expected=f"labels below {outputs}, the number of outputs",
            got=f"label {count - 1}",
            next_step="use a model of these classes",
        )
    names: Sequence[str] = [str(i) for i in range(outputs)]
    if file is not None:
        names = [entry[-1] for entry in _read(file, outputs)]
    elif model.categories is not None and len(model.categories) == outputs:
        names = model.categories
    return _made(names, range(count), "numbers" if file is None else f"file:{file.name}")


def _made(names: Sequence[str], of_folder: Iterable[int], source: str) -> ClassMap:
    """Names that occur twice (ImageNet has two kinds of crane) carry their output."""
    count = Counter(names)
    unique = tuple(name if count[name] == 1 else f"{name} ({i})" for i, name in enumerate(names))
    return ClassMap(unique, tuple(range(len(unique))), tuple(of_folder), source)


def _match(folders: Sequence[str], lines: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Folder → outputs with its name, exactly or else but for case, spaces, ``_`` and ``-``."""
    exact: dict[str, list[int]] = defaultdict(list)
    loose: dict[str, list[int]] = defaultdict(list)
    for output, names in enumerate(lines):
        for name in dict.fromkeys(names):
            exact[name].append(output)
        for name in dict.fromkeys(map(_plain, names)):
            loose[name].append(output)
    return {folder: exact.get(folder) or loose.get(_plain(folder), []) for folder in folders}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _read(file: Path, outputs: int | None) -> list[tuple[str, ...]]:
    """Per output its names, the one to show last; as many as there are where ``outputs`` is None."""
    try:
        text = file.read_text(encoding="utf-8")
        lines = _from_json(text) if text.lstrip().startswith(("[", "{")) else _from_lines(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "the class file cannot be read",
            where=file,
            expected="one name a line in the order of outputs, or a JSON list or object",
            got=f"{type(error).__name__}: {error}",
        ) from error
    if outputs is not None and len(lines) != outputs:
        raise DataError(
            "the class file does not fit the model",
            where=file,
            expected=f"{outputs} names, one for each output",
            got=f"{len(lines)} names",
            next_step="name every output, in order",
        )
    return lines


def _from_lines(text: str) -> list[tuple[str, ...]]:
    lines = [line.strip() for line in text.splitlines()]
    return [_aliases(line) for line in lines if line]


def _aliases(line: str) -> tuple[str, ...]:
    head, _, rest = line.partition(" ")
    return (line, head, rest.strip()) if rest and _WORDNET.fullmatch(head) else (line,)


def _from_json(text: str) -> list[tuple[str, ...]]:
    content = json.loads(text)
    if isinstance(content, list):
        entries = content
    elif all(isinstance(value, int) for value in content.values()):
        by_output = {value: key for key, value in content.items()}
        entries = [by_output[i] for i in range(len(content))]
    else:
        entries = [content[str(i)] for i in range(len(content))]
    names = [(entry,) if isinstance(entry, str) else tuple(entry) for entry in entries]
    if not all(name and all(isinstance(part, str) for part in name) for name in names):
        raise ValueError("an entry that is no name")
    return names
