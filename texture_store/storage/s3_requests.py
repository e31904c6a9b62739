"""S3's requests, each sent exactly once: reading a range, and creating an object, of one or many parts."""

import contextlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from texture_store.errors import TransientStoreError

Call = Callable[..., Any]

PART_BYTES = 50 << 20
"""Of a multipart upload; what is smaller than two parts goes as one PUT."""
PARTS_IN_FLIGHT = 4


def one_try() -> dict[str, Any]:
    """For botocore: one try, and a session that is honest about it."""
    from aiobotocore.httpsession import AIOHTTPSession

    class OneTrySession(AIOHTTPSession):  # type: ignore[misc]
        """aiohttp (3.14) sends a PUT again by itself when the connection breaks before the reply.

        A conditional PUT whose first reply got lost would then be answered 412, and our own object be taken for
        somebody else's.
        """

        async def _get_session(self, proxy_url: str | None) -> Any:
            session = await super()._get_session(proxy_url)
            session._retry_connection = False
            return session

    return {"retries": {"total_max_attempts": 1, "mode": "standard"}, "http_session_cls": OneTrySession}


def s3_session() -> Any:
    """A session that reads ISO times with the standard library: dateutil took 60 % of a listing's CPU time."""
    import aiobotocore.session
    from botocore.utils import parse_timestamp

    def read_time(value: Any) -> Any:
        try:
            return datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return parse_timestamp(value)

    session = aiobotocore.session.AioSession()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_time)
    return session


def asked_for(answer: dict[str, Any], data: bytes, start: int | None, end: int | None, url: str) -> bytes:
    """The bytes start..end out of an answer's body, which is the whole object when the server does not know ranges.

    Raises TransientStoreError when fewer bytes came than the answer's range says: a body that was cut on its way by
    something that also shortened the announced length. (A body shorter than announced never gets here.)
    """
    if start is None and end is None:
        return data
    given = re.fullmatch(r"bytes (\d+)-(\d+)/.*", answer.get("ContentRange", ""))
    if given is None:
        return data[start:end]
    announced = int(given[2]) + 1 - int(given[1])
    if len(data) != announced:
        raise TransientStoreError(f"{url}: {len(data):,} of {announced:,} bytes came; run again when storage answers")
    return data


def create_object(call: Call, attempt: Callable[[Callable[[], Any]], Any], key: dict[str, str], data: bytes) -> None:
    """A conditional PUT; from two parts on a multipart upload whose completion is conditional.

    `call(method, **arguments)` sends one request, `attempt` runs one until it is answered, `key` is Bucket and Key.
    Each part is tried by itself: where a third of all requests fail, hardly ever would all of many succeed. What a
    failed upload leaves is taken away, as far as storage answers.

    Raises what `attempt` does; after a completion whose reply got lost that is ObjectExistsError or
    ObjectNotFoundError (no such upload any more).
    """
    if len(data) < 2 * PART_BYTES:
        attempt(lambda: call("put_object", **key, Body=data, IfNoneMatch="*"))
        return
    upload = attempt(lambda: call("create_multipart_upload", **key))["UploadId"]

    def send(start: int) -> dict[str, Any]:
        arguments = {"PartNumber": start // PART_BYTES + 1, "Body": data[start : start + PART_BYTES]}
        answer = attempt(lambda: call("upload_part", **key, UploadId=upload, **arguments))
        return {"PartNumber": arguments["PartNumber"], "ETag": answer["ETag"]}

    try:
        with ThreadPoolExecutor(PARTS_IN_FLIGHT) as threads:
            parts = {"Parts": list(threads.map(send, range(0, len(data), PART_BYTES)))}
        condition = {"MultipartUpload": parts, "IfNoneMatch": "*"}
        attempt(lambda: call("complete_multipart_upload", **key, UploadId=upload, **condition))
    except BaseException:
        with contextlib.suppress(Exception):
            call("abort_multipart_upload", **key, UploadId=upload)
        raise
