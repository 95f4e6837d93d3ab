"""The options of `multiview embed` and `multiview search`.

They stand apart from the commands, because reading options imports the types that a module names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Writes the vectors of every sample of INPUT to OUT: a Parquet file, .npz or .csv.

    Each row has id, path, split, label and factors of a sample, and a vector for every view of the
    model. A killed command continues when it is given again. Files that cannot be read are listed
    in OUT.rejected.csv.

    Args:
        model: a model folder, or a run.
        input: a store, a folder of files, a manifest, or scenes:COUNT. Files are read like those of
            the training.
        out: the file to write; its ending chooses the format.
        what: h (features, for probes and clustering) or z (the embedding that was trained, for
            finding one view by another).
        dtype: float32 or float16.
        split: one split (null = all samples).
        views: some of the views (null = all whose modality INPUT holds).
        workers: processes that read the data, 0 = none beside this one.
        device: where the encoders run, such as cuda (null = a GPU when there is one).
        save_every: samples between two saved parts.
        overwrite: replace OUT and its unfinished parts.
    """

    model: str
    input: str
    out: str
    what: Literal["h", "z"] = "h"
    dtype: Literal["float32", "float16"] = "float32"
    split: str | None = None
    views: tuple[str, ...] | None = None
    workers: int = 0
    device: str | None = None
    save_every: int = 8192
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Search:
    """Finds the samples of GALLERY that are most similar to each QUERY.

    Similarity is the cosine of two vectors. The search compares with every sample of the gallery.

    Args:
        gallery: a run, whose own data are searched, or a file that `multiview embed` wrote. The
            first search of a run embeds its data and keeps the vectors in the run's folder.
        query: ids of the gallery, files, folders or stores. Any other words are a text, which a
            view of texts of the model reads.
        model: the model of the gallery; needed for files and texts, but not for a run.
        view: the view of the queries (null = the first view of the gallery that they have).
        within: the view that is searched; `--in` means the same (null = the view of the query; for
            a text the first view that holds no texts). Another view needs a gallery of z; a run has
            one.
        late_fusion: add the similarity of ridge regression or CCA between the view of the queries
            and the one of `--in`, fitted to training samples of the run; both with mean 0 and
            deviation 1 over the gallery. Often better than either, where few samples taught the
            encoders. Needs a run.
        k: how many samples to show.
        sheet: file of a picture of queries and found samples, for galleries of picture files.
    """

    gallery: str
    query: tuple[str, ...]
    model: str | None = None
    view: str | None = None
    within: str | None = None
    late_fusion: bool = False
    k: int = 10
    sheet: str | None = None

    aliases: ClassVar[Mapping[str, str]] = {"--in": "--within"}
