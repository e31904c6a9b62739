#!/usr/bin/env bash
# Sets up, checks and passes every test that this machine can run. Arguments go to pytest instead of the default choice.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash infra/dev/setup.sh
bash infra/dev/check.sh
if [ $# -gt 0 ]; then
  exec .venv/bin/pytest "$@"
fi
exec .venv/bin/pytest -m "not (gpu or benchmark)" --durations=15
