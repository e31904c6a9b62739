#!/usr/bin/env bash
# Sets up, checks and passes every test that this machine can run. Arguments go to pytest instead of the default choice.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash infra/dev/setup.sh
bash infra/dev/check.sh
if [ $# -gt 0 ]; then
  exec .venv/bin/pytest "$@"
fi
# Side by side, each run with a Ray of its own: jobs mostly wait for processes that start. What the tests that kill print
# follows at the end.
kills=$(mktemp)
.venv/bin/pytest -m "chaos and not (gpu or benchmark)" --durations=15 >"$kills" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null; rm -f "$kills"' EXIT
status=0
.venv/bin/pytest -m "ray and not (chaos or gpu or benchmark)" --durations=15 || status=$?
.venv/bin/pytest -m "not (ray or chaos or gpu or benchmark)" --durations=15 || status=$?
wait "$pid" || status=$?
cat "$kills"
exit "$status"
