"""A class tree of images: `ROOT/cats/tom.jpg`, or with splits on top, `ROOT/train/cats/tom.jpg`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from multiview.data.columns.picture_columns import Column, check_store, encoded_column, picture_column
from multiview.data.columns.picture_sizes import SizeOptions
from multiview.data.files import images
from multiview.data.listing.classtree import ClassTreeOptions, FileReader
from multiview.data.source import Plan


@dataclass(frozen=True, kw_only=True)
class Folder(ClassTreeOptions, SizeOptions):
    """Images in folders: the first folder's name is the class, deeper ones belong to it, images in the root have none.

    Folders called train, val (valid, validation) and test on the first level are splits, with the classes below. The
    id of an image is its path without the ending. Files that are no images are passed over.

    Args:
        store: `raw` pixels of one size, or `encoded`, the bytes of the files, each in its own size.
    """

    store: Literal["raw", "encoded"] = "raw"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ClassTreeOptions.__post_init__(self)
        SizeOptions.__post_init__(self)
        check_store(self.store)

    def plan(self, root: Path | None) -> Plan:
        """Every image below `root`, in the order of the paths (of the ids, with a CSV). Raises MultiviewError when
        there is none.
        """
        assert root is not None
        found = self.list_samples(root, "image", images.ENDINGS)
        column, notes = self._column(root, [file for file in found.files if file])
        reader = FileReader("image", root, found.files, tuple(row.id for row in found.rows), column.read)
        return Plan(found.rows, (column.modality,), reader, notes=(*found.notes, *notes))

    def _column(self, root: Path, files: Sequence[str]) -> tuple[Column, tuple[str, ...]]:
        if self.store == "encoded":
            return encoded_column("image", files), ()
        fit, notes = self.resizer_for(root, files)
        return picture_column("image", "image", root, files, fit), notes
