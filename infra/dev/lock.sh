#!/usr/bin/env bash
# Writes infra/dev/requirements.lock anew from pyproject.toml. Run by hand when a dependency changes; setup.sh only reads it.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --extra jobs --extra dev pyproject.toml -o infra/dev/requirements.lock "$@"
