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
# follows, and then, in short, what failed anywhere.
logs=$(mktemp -d)
.venv/bin/pytest -m "chaos and not (gpu or benchmark)" --durations=15 >"$logs/kills" 2>&1 &
pid=$!
# `|| true`: under set -e a failing command in here would decide the exit status.
trap 'kill "$pid" 2>/dev/null || true; rm -rf "$logs"' EXIT
status=0
.venv/bin/pytest -m "ray and not (chaos or gpu or benchmark)" --durations=15 2>&1 | tee "$logs/ray" || status=$?
.venv/bin/pytest -m "not (ray or chaos or gpu or benchmark)" --durations=15 2>&1 | tee "$logs/others" || status=$?
wait "$pid" || status=$?
cat "$logs/kills"
if [ "$status" -ne 0 ]; then
  { grep -hE "^(FAILED|ERROR|E) " "$logs"/* || true; } | cut -c1-300 | tail -n 80
fi
exit "$status"
