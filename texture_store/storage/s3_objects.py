"""Objects in a bucket, by way of s3fs."""

import functools
from collections.abc import Iterator
from typing import Any

import fsspec.asyn

from texture_store.errors import ObjectChangedError, UnsafeStorageError
from texture_store.storage.connections import connect
from texture_store.storage.driver import Attempt, ObjectInfo, OnSkip, nanoseconds
from texture_store.storage.error_translation import http_answer
from texture_store.storage.s3_requests import asked_for, create_object


class S3Objects:
    """Objects under a prefix of a bucket. Requests go one by one: whoever calls decides about trying again."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix and path else self.prefix or path

    def _call(self, method: str, **arguments: Any) -> Any:
        return connect("s3", patient=False).call_s3(method, Bucket=self.bucket, **arguments)

    def read(self, path: str, start: int | None, end: int | None, version: str | None) -> bytes:
        """One GET; the etag comes with the answer, so that check and read cannot fall apart."""
        if end is not None and end <= (start or 0):
            return b""
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Key": self._key(path)}
        if start is not None or end is not None:
            arguments["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        s3 = connect("s3", patient=False)
        try:
            answer, data = fsspec.asyn.sync(s3.loop, _get_object, s3, arguments, version)
        except OSError as error:
            if http_answer(error)[0] == 416:  # the range starts behind the end
                return b""
            raise
        return asked_for(answer, data, start, end, f"s3://{self.bucket}/{arguments['Key']}")

    def create(self, path: str, data: bytes, attempt: Attempt[Any]) -> None:
        """Only if there is none of this name, which S3 is told as a condition."""

        def call(method: str, **arguments: Any) -> Any:
            try:
                return connect("s3", patient=False).call_s3(method, **arguments)
            except OSError as error:
                if http_answer(error)[0] == 501:
                    raise UnsafeStorageError(
                        f"s3://{self.bucket}: this storage does not know If-None-Match, so that objects cannot be"
                        " created only if absent; use another one"
                    ) from error
                raise

        create_object(call, attempt, {"Bucket": self.bucket, "Key": self._key(path)}, data)

    def info(self, path: str) -> ObjectInfo:
        """One HEAD."""
        head = self._call("head_object", Key=self._key(path))
        return _s3_info(path, head["ContentLength"], head)

    def has_any(self) -> bool:
        """Whether anything lies under the prefix; a missing bucket raises."""
        prefix = f"{self.prefix}/" if self.prefix else ""
        page = self._call("list_objects_v2", Prefix=prefix, MaxKeys=1)
        return not self.prefix or bool(page.get("Contents"))

    def remove(self, path: str) -> None:
        """One DELETE, which is no error for an object that is gone."""
        self._call("delete_object", Key=self._key(path))

    def partials(self) -> Iterator[ObjectInfo]:
        """None: an object is there whole or not at all. Parts of uploads go by the bucket's lifecycle rule."""
        return iter(())

    def list(self, prefix: str, attempt: Attempt[Any], on_skip: OnSkip) -> Iterator[ObjectInfo]:  # noqa: ARG002
        """Objects below `prefix` in the order of their keys; each page of 1000 is a request of its own."""
        root = f"{self.prefix}/" if self.prefix else ""
        arguments = {"Prefix": f"{root}{prefix}/" if prefix else root}
        while True:
            page = attempt(functools.partial(self._call, "list_objects_v2", **arguments))
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):  # a folder marker
                    yield _s3_info(entry["Key"][len(root) :], entry["Size"], entry)
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]


async def _get_object(s3: Any, arguments: dict[str, Any], version: str | None) -> tuple[dict[str, Any], bytes]:
    answer = await s3._call_s3("get_object", **arguments)
    body = answer["Body"]
    try:
        if version is not None and _etag(answer) != version:
            raise ObjectChangedError(f"s3://{arguments['Bucket']}/{arguments['Key']}: changed since it was listed")
        return answer, await body.read()
    finally:
        body.close()


def _etag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _s3_info(path: str, size: int, answer: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(path, size, _etag(answer), nanoseconds(answer.get("LastModified")))
