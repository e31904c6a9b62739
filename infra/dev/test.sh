#!/usr/bin/env bash
# Sets up, checks and passes every test that this machine can run. Arguments go to pytest instead of the default choice.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash infra/dev/setup.sh
bash infra/dev/check.sh
if [ $# -gt 0 ]; then
  exec .venv/bin/pytest "$@"
fi
# Two runs side by side, each with a Ray of its own: jobs mostly wait for processes that start. What the second prints
# follows at the end.
second=$(mktemp)
.venv/bin/pytest -m "(chaos or not ray) and not (gpu or benchmark)" --durations=25 >"$second" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null; rm -f "$second"' EXIT
status=0
.venv/bin/pytest -m "ray and not (chaos or gpu or benchmark)" --durations=25 || status=$?
wait "$pid" || status=$?
cat "$second"
exit "$status"
