#!/usr/bin/env bash
# Sets up, checks and passes every test that this machine can run. Arguments go to pytest instead of the default choice.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash infra/dev/setup.sh
bash infra/dev/check.sh
if [ $# -gt 0 ]; then
  exec .venv/bin/pytest "$@"
fi
# Side by side: tests with Ray mostly wait for processes that start. What the others print follows at the end.
others=$(mktemp)
.venv/bin/pytest -m "not (gpu or benchmark or ray)" --durations=15 >"$others" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null; rm -f "$others"' EXIT
status=0
.venv/bin/pytest -m "ray and not (gpu or benchmark)" --durations=40 || status=$?
wait "$pid" || status=$?
cat "$others"
exit "$status"
