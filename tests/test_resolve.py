"""From a word to a store: which source fits, and what is made once."""

from pathlib import Path

import pytest
from pictures import noise, save, write_aligned, write_list, write_pets

from multiview.data.resolve import guess_source, open_data
from multiview.data.sources.aligned import Aligned
from multiview.data.sources.folder import Folder
from multiview.errors import MultiviewError


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_pets(tmp_path)


@pytest.fixture
def listed(pets: Path) -> Path:
    return write_list(pets)


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    return write_aligned(tmp_path)


def test_the_source_is_guessed(aligned: Path, listed: Path, tmp_path: Path) -> None:
    assert guess_source(aligned) == Aligned()
    assert guess_source(aligned / "rgb") == Folder()
    assert guess_source(listed) == Folder(csv=str(listed / "labels.csv"))
    (listed / "labels.csv").write_text("id,split\nsomething/else,train\n")
    assert guess_source(listed) == Folder()


def test_open_data(pets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    store = open_data(str(pets), cache, said.append)
    assert len(store) == 12
    assert store.path.parent == cache
    assert len(said) == 1
    assert "12 samples" in said[0]
    assert open_data(str(pets), cache, said.append).manifest.hash == store.manifest.hash
    assert len(said) == 1
    assert open_data(str(store.path), cache, said.append).manifest.hash == store.manifest.hash
    save(pets / "cats" / "new.png", noise(77))
    assert len(open_data(str(pets), cache, said.append)) == 13
    assert any("has changed" in line for line in said)
    assert len(list(cache.iterdir())) == 1


def test_open_data_mistakes(tmp_path: Path) -> None:
    for spec, message in [
        (str(tmp_path / "gone"), "does not exist"),
        (__file__, "is a file"),
        ("scenes:many", "does not say how many scenes"),
        ("scenes:0", "does not say how many scenes"),
    ]:
        with pytest.raises(MultiviewError, match=message):
            open_data(spec, tmp_path / "cache")
