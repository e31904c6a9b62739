#!/usr/bin/env bash
# An S3 server (SeaweedFS) on this machine, for trying things out: runs until Ctrl-C, on loopback only.
#   bash infra/dev/s3_server.sh [FOLDER]     its data lies in FOLDER, else in a temporary one that goes with it
# It prints the lines to paste into the shell that uses it. A bucket appears when something is written to it.
set -euo pipefail
cd "$(dirname "$0")/../.."

weed=.venv/bin/weed
[ -x "$weed" ] || { echo "s3_server: no $weed; run bash infra/dev/setup.sh first" >&2; exit 1; }

if [ $# -ge 1 ]; then
  mkdir -p "$1"
  data="$(cd "$1" && pwd)"
else
  data="$(mktemp -d)"
  temporary="$data"
fi

# Four ports that are free, and free 10000 above as well, where SeaweedFS puts gRPC.
read -r s3 master volume filer < <(.venv/bin/python - "${S3_PORT:-8333}" <<'PYTHON'
import socket, sys

def is_free(port):
    for number in (port, port + 10000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True

start = int(sys.argv[1])
print(*[port for port in range(start, start + 1000) if is_free(port)][:4])
PYTHON
)

(umask 077; cat >"$data/s3.json" <<'JSON'
{"identities": [{"name": "local", "credentials": [{"accessKey": "local", "secretKey": "local-secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
)

# A volume takes at most 1 GB and is made when needed: each bucket needs several. Telemetry is on unless switched off.
WEED_MASTER_VOLUME_GROWTH_COPY_1=1 "$weed" -logtostderr=true server -dir="$data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -master.port="$master" -volume.port="$volume" -filer.port="$filer" -s3 -s3.port="$s3" -s3.config="$data/s3.json" \
  -s3.port.iceberg=0 -s3.port.lance=0 -volume.max=0 -master.volumeSizeLimitMB=1024 -master.telemetry=false \
  -master.electionTimeout=1s -master.heartbeatInterval=300ms -volume.readMode=local >"$data/server.log" 2>&1 &
server=$!
# SIGTERM takes it half a minute; what it has acknowledged survives SIGKILL.
trap '{ kill -KILL "$server"; wait "$server"; } 2>/dev/null || true; [ -z "${temporary:-}" ] || rm -rf "$temporary"' EXIT
trap 'exit 130' INT TERM

for _ in $(seq 150); do
  kill -0 "$server" 2>/dev/null || { echo "s3_server: it stopped:" >&2; tail -n 5 "$data/server.log" >&2; exit 1; }
  if .venv/bin/python -c "
import urllib.error, urllib.request
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://127.0.0.1:$s3/', timeout=1)
except urllib.error.HTTPError as answer:
    raise SystemExit(answer.code not in (401, 403))" 2>/dev/null; then
    ready=yes
    break
  fi
  sleep 0.2
done
[ "${ready:-}" = yes ] || { echo "s3_server: no answer; its log: $data/server.log" >&2; exit 1; }

cat <<LINES
export AWS_ENDPOINT_URL=http://127.0.0.1:$s3
export AWS_ACCESS_KEY_ID=local
export AWS_SECRET_ACCESS_KEY=local-secret
export AWS_DEFAULT_REGION=us-east-1
LINES
echo "s3_server: ready; paste these lines into another terminal. Data: $data. Ctrl-C stops it." >&2
wait "$server"
