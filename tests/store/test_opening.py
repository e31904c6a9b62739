import json
import threading

import pytest

from texture_store.errors import StoreFormatError, UnsafeStorageError, UsageError
from texture_store.objects import Storage, open_storage
from texture_store.store.opening import FORMAT_VERSION, open_for_reading, open_for_writing


def test_a_new_store_says_its_format_and_can_be_read(tmp_path):
    open_for_writing(str(tmp_path / "store"))
    assert json.loads((tmp_path / "store" / "store.json").read_bytes()) == {"format": FORMAT_VERSION}
    assert open_for_reading(str(tmp_path / "store")).url == str(tmp_path / "store")


@pytest.mark.s3
def test_a_store_on_s3_is_made_and_opened_like_a_local_one(s3_url):
    with pytest.raises(StoreFormatError, match="run index first"):
        open_for_reading(f"{s3_url}/store")
    open_for_writing(f"{s3_url}/store")
    open_for_writing(f"{s3_url}/store")
    assert json.loads(open_for_reading(f"{s3_url}/store").read("store.json")) == {"format": FORMAT_VERSION}


def test_opening_an_existing_store_for_writing_changes_nothing(tmp_path):
    open_for_writing(str(tmp_path))
    (tmp_path / "store.json").write_bytes(b'{"format": 1, "note": "kept"}')
    open_for_writing(str(tmp_path))
    assert (tmp_path / "store.json").read_bytes() == b'{"format": 1, "note": "kept"}'


def test_many_who_make_the_same_store_at_once_all_get_it(tmp_path):
    failures = []

    def make() -> None:
        try:
            open_for_writing(str(tmp_path / "store"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["store.json"]


def test_a_folder_that_is_no_store_is_named_and_index_recommended(tmp_path):
    for opened in (open_for_reading, lambda url: open_for_writing(url, create=False)):
        with pytest.raises(StoreFormatError, match=r"no store here.*run index first"):
            opened(str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("opened", [open_for_reading, open_for_writing])
def test_a_store_of_a_newer_format_is_refused_with_the_advice_to_upgrade(tmp_path, opened):
    (tmp_path / "store.json").write_text(json.dumps({"format": FORMAT_VERSION + 1}))
    with pytest.raises(StoreFormatError, match="upgrade"):
        opened(str(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"format": "1"}', b'{"format": true}', b'{"format": 0}']
)
def test_a_store_file_that_says_no_format_is_refused(tmp_path, content):
    (tmp_path / "store.json").write_bytes(content)
    with pytest.raises(StoreFormatError, match="not that of a texture_store"):
        open_for_writing(str(tmp_path))


def test_storage_without_exclusive_create_is_refused_for_writing():
    with pytest.raises(UnsafeStorageError):
        open_for_writing("memory://store")


def test_storage_that_overwrites_in_spite_of_the_condition_is_refused(tmp_path, monkeypatch):
    def overwrite(storage: Storage, path: str, data: bytes) -> None:
        (tmp_path / path).write_bytes(data)

    storage = open_storage(str(tmp_path))
    monkeypatch.setattr(type(storage._driver), "create", lambda driver, path, data, _: overwrite(storage, path, data))
    with pytest.raises(UnsafeStorageError, match="overwrites"):
        open_for_writing(str(tmp_path))


def test_credentials_in_the_url_are_refused_and_not_repeated():
    with pytest.raises(UsageError) as caught:
        open_for_writing("s3://key:secret@bucket/store")
    assert "secret" not in str(caught.value)
