#!/usr/bin/env bash
# Sets up and runs the main job from nothing on a small synthetic archive. Arguments go to `texture-store demo`.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
bash "$here/setup.sh"
exec "$here/../../.venv/bin/texture-store" demo "$@"
