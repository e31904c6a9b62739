"""What went wrong on storage: the drivers' own errors become ours here, and nowhere else.

Every driver has its own words for the same thing (an errno, an HTTP status, an S3 code, a botocore class). Classes are
told by name, so that nobody who works on local files has to import botocore.
"""

import errno
import os
import re
from collections.abc import Iterator

from texture_store.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageFullError,
    StoragePermissionError,
    StoreError,
    TextureStoreError,
    TransientStoreError,
    UsageError,
)

_BY_ERRNO: dict[int, type[StoreError]] = {
    errno.ENOENT: ObjectNotFoundError,
    errno.ENOTDIR: ObjectNotFoundError,
    errno.EEXIST: ObjectExistsError,
    errno.EACCES: StoragePermissionError,
    errno.EPERM: StoragePermissionError,
    errno.EROFS: StoragePermissionError,
    errno.ENOSPC: StorageFullError,
    errno.EDQUOT: StorageFullError,
    errno.EFBIG: StorageFullError,
    errno.EAGAIN: TransientStoreError,
    errno.EBUSY: TransientStoreError,
    errno.EREMOTEIO: TransientStoreError,
    errno.EINTR: TransientStoreError,
    errno.ENOTCONN: TransientStoreError,
    errno.EHOSTDOWN: TransientStoreError,
    errno.ENETDOWN: TransientStoreError,
    errno.ENETRESET: TransientStoreError,
    errno.ESTALE: TransientStoreError,
    errno.ETIMEDOUT: TransientStoreError,
    errno.ECONNREFUSED: TransientStoreError,
    errno.ENETUNREACH: TransientStoreError,
    errno.EHOSTUNREACH: TransientStoreError,
}

_BY_CODE: dict[str, type[StoreError]] = {
    "PreconditionFailed": ObjectExistsError,
    "XMinioStorageFull": StorageFullError,
    "QuotaExceeded": StorageFullError,
    "ExpiredToken": StoragePermissionError,
    "InvalidToken": StoragePermissionError,
    "TokenRefreshRequired": StoragePermissionError,
    "BadDigest": TransientStoreError,
    "IncompleteBody": TransientStoreError,
    "RequestTimeout": TransientStoreError,
    "SlowDown": TransientStoreError,
    "Throttling": TransientStoreError,
    "XAmzContentSHA256Mismatch": TransientStoreError,
}
"""S3 codes that say more than their HTTP status, which is 400 or 503 for most of them."""

_BY_STATUS: dict[int, type[StoreError]] = {
    401: StoragePermissionError,
    403: StoragePermissionError,
    404: ObjectNotFoundError,
    408: TransientStoreError,
    409: TransientStoreError,  # S3: another conditional write of the same key is under way
    412: ObjectExistsError,
    429: TransientStoreError,
    501: StoreError,
    507: StorageFullError,
}

_BY_CLASS: dict[str, type[TextureStoreError]] = {
    "NoCredentialsError": StoragePermissionError,
    "PartialCredentialsError": StoragePermissionError,
    "CredentialRetrievalError": StoragePermissionError,
    "ParamValidationError": UsageError,
    "InvalidBucket": UsageError,
    "SSLError": StoreError,  # a certificate does not get better by waiting
    "FlexibleChecksumError": TransientStoreError,  # the bytes are not those that the server has the checksum of
    "HTTPClientError": TransientStoreError,
    "ResponseParserError": TransientStoreError,
    "IncompleteReadError": TransientStoreError,
    "ClientPayloadError": TransientStoreError,
    "ClientConnectionError": TransientStoreError,
    "ServerDisconnectedError": TransientStoreError,
    "IncompleteRead": TransientStoreError,
    "TimeoutError": TransientStoreError,
    "FSTimeoutError": TransientStoreError,
    "ConnectionError": TransientStoreError,
    "FileNotFoundError": ObjectNotFoundError,
    "NotADirectoryError": ObjectNotFoundError,
    "FileExistsError": ObjectExistsError,
    "PermissionError": StoragePermissionError,
}

_ADVICE: dict[type[TextureStoreError], str] = {
    StoragePermissionError: "; check the credentials (for S3 the AWS_* environment) and the rights",
    StorageFullError: "; make room and run again",
    TransientStoreError: "; run again when storage answers",
}


def translate(error: Exception, url: str) -> TextureStoreError:
    """Our error, with a one-line message, for what a storage driver raised about `url`."""
    if isinstance(error, TextureStoreError):
        return error
    inner = error.filename if isinstance(error, OSError) else None
    if isinstance(inner, str) and inner.startswith(url):
        url = inner  # the file or sub-folder that it is about
    kind = _kind(error)
    if kind is ObjectNotFoundError:
        bucket = " (and no such bucket)" if http_answer(error)[1] == "NoSuchBucket" else ""
        return ObjectNotFoundError(f"{url}: no such file or object{bucket}")
    if kind is ObjectExistsError:
        return ObjectExistsError(f"{url}: exists already, and what exists is never overwritten")
    return kind(f"{url}: {_reason(error)}{_ADVICE.get(kind, '')}")


def http_answer(error: BaseException) -> tuple[int | None, str]:
    """HTTP status and S3 code of the answer behind an error; (None, "") when there was none."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict) and "Error" in response:
            code = str(response["Error"].get("Code", ""))
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return (int(code) if status is None and code.isdigit() else status), code
    return None, ""


def _kind(error: Exception) -> type[TextureStoreError]:
    status, code = http_answer(error)
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status is not None:
        return _BY_STATUS.get(status, TransientStoreError if status >= 500 else StoreError)
    if "UNEXPECTED_EOF_WHILE_READING" in str(error):  # a connection that broke while TLS was being set up
        return TransientStoreError
    for link in _chain(error):
        for ancestor in type(link).__mro__:
            if ancestor.__name__ in _BY_CLASS:
                return _BY_CLASS[ancestor.__name__]
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_ERRNO.get(error.errno, StoreError)
    return StoreError


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield link
        link = link.__cause__


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_secrets(text).rstrip(".") or type(error).__name__


def without_secrets(text: str) -> str:
    """`text` on one line, without credentials that a driver may have put into it."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        secret = os.environ.get(name, "")
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    text = re.sub(r"://[^/\s]*@", "://", text)
    return re.sub(r"(?i)((?:x-amz-[a-z-]+|signature|awsaccesskeyid|token|sig|key|secret)=)[^&\s]+", r"\1***", text)
