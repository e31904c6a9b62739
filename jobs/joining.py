"""Whether a Ray answers at an address, found out in seconds; and in one line why it cannot be joined.

`ray.init` waits for an address that nobody answers at for over five minutes and then ends the process (Ray 2.60,
measured), so that the address is looked at first.
"""

import contextlib
import re
import socket
from typing import Any

from texture_store.errors import UsageError

PROBE_SECONDS = 5.0
"""How long a head node may take to answer on the network."""

_IS_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"

_VERSIONS = re.compile(
    r"Version mismatch.*?Ray: (?P<ray>\S+)\s+Python: (?P<python>\S+)"
    r".*?Ray: (?P<our_ray>\S+)\s+Python: (?P<our_python>\S+)",
    re.DOTALL,
)


def check_address(address: str) -> None:
    """Raises UsageError, within seconds, unless a Ray head at `auto` or HOST:PORT answers and takes our token."""
    host, port = _head(address)
    name = f"{host}:{port}" if address == "auto" else address
    try:
        # Before gRPC, which does not tell a closed port from a lost packet.
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except TimeoutError:
        raise _silent(name) from None
    except OSError as error:
        raise UsageError(f"no Ray at {name}: {error.strerror or error}; {_ADVICE}") from None
    greet(host, port, name=name)


def greet(host: str, port: int, *, name: str) -> None:
    """Ask the head at an open port whether it is alive; the error calls it `name`. Raises UsageError."""
    import grpc
    from ray._private.grpc_utils import init_grpc_channel

    with contextlib.ExitStack() as stack:
        channel: Any = init_grpc_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)])
        stack.callback(channel.close)
        try:
            # Without fields the message is empty in any version of Ray's protocol.
            channel.unary_unary(_IS_ALIVE)(b"", timeout=PROBE_SECONDS)
        except grpc.RpcError as error:
            code: Any = error.code()
            if code == grpc.StatusCode.UNAUTHENTICATED:
                raise UsageError(_refused(name)) from None
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _silent(name) from None
            raise UsageError(f"what answers at {name} is not Ray ({code.name.lower()}); {_ADVICE}") from None


def explained(error: BaseException, address: str) -> UsageError:
    """The error of a `ray.init` that should have joined `address`, in one line that says what to do."""
    text = str(error).strip()
    if versions := _VERSIONS.search(text):
        return UsageError(
            f"the Ray cluster at {address} runs Ray {versions['ray']} on Python {versions['python']}, this is Ray"
            f" {versions['our_ray']} on Python {versions['our_python']}; both must be the same: use one image or one"
            " lock file for the cluster and its jobs"
        )
    if "uthentication" in type(error).__name__ + text or "Unauthenticated" in text:
        return UsageError(_refused(address))
    reason = text.splitlines()[0] if text else type(error).__name__
    return UsageError(f"no Ray at {address}: {reason}; {_ADVICE}")


_ADVICE = "start one, or leave out --address"


def _refused(name: str) -> str:
    return (
        f"the Ray cluster at {name} refused the token; RAY_AUTH_MODE and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH)"
        " must be those of its nodes"
    )


def _silent(name: str) -> UsageError:
    return UsageError(
        f"no Ray at {name}: no answer within {PROBE_SECONDS:.0f} s; is the cluster up, and its port open?"
    )


def _head(address: str) -> tuple[str, int]:
    from ray._private.services import canonicalize_bootstrap_address

    try:
        found = canonicalize_bootstrap_address(address)
    except ConnectionError:
        raise UsageError(f"no Ray runs on this machine (--address {address}); {_ADVICE}") from None
    except (ValueError, OSError):
        found = None
    host, _, port = (found or "").rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(
            f"--address {address}: write local, auto, or the HOST:PORT of a cluster's head, such as 10.0.0.5:6379"
        )
    return host.strip("[]"), int(port)
