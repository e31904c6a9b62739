#!/usr/bin/env bash
# Style, types and who may import whom.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash infra/dev/setup.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports
