"""A class tree of images: `ROOT/cats/tom.jpg`, or with splits `ROOT/train/cats/tom.jpg`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from multiview.data.columns.picture_columns import Column, check_store, encoded_column, picture_column, picture_notes
from multiview.data.columns.picture_sizes import SizeOptions
from multiview.data.files import images
from multiview.data.listing.classtree import ClassTreeOptions, FileReader
from multiview.data.source import Plan


@dataclass(frozen=True, kw_only=True)
class Folder(ClassTreeOptions, SizeOptions):
    """Images in class folders: the first folder below INPUT names the class of all images below it.

    If the first folders are called train, val (valid, validation) and test, they are the splits and
    the folders in them the classes. An image in no class folder has no label. The id of an image is
    its path without the ending. Other files are skipped.

    Args:
        store: store `raw` pixels of one size, or `encoded`: the bytes of the files, each image in
            its own size.
    """

    store: Literal["raw", "encoded"] = "raw"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ClassTreeOptions.__post_init__(self)
        SizeOptions.__post_init__(self)
        check_store(self.store)

    def plan(self, root: Path | None) -> Plan:
        """Plans every image below `root`, in the order of the paths (with a CSV file: of the ids).

        Raises MultiviewError when there is none.
        """
        assert root is not None
        found = self.list_samples(root, "image", images.ENDINGS)
        column, notes = self._column(root, [file for file in found.files if file])
        reader = FileReader("image", root, found.files, tuple(row.id for row in found.rows), column.read)
        return Plan(found.rows, (column.modality,), reader, notes=(*found.notes, *notes))

    def _column(self, root: Path, files: Sequence[str]) -> tuple[Column, tuple[str, ...]]:
        if self.store == "encoded":
            with images.allow_pixels(self.max_megapixels):
                notes = picture_notes("image", "image", root, files)
            return encoded_column("image", files, self.max_megapixels), notes
        resizer, notes = self.resizer_for(root, files)
        column = picture_column("image", "image", root, files, resizer, megapixels=self.max_megapixels)
        return column, (*notes, *column.notes)
