#!/usr/bin/env bash
# Makes .venv and installs texture_store into it, at the versions of infra/dev/requirements.lock.
# Needs Python 3.11 or newer with pip and venv; no compiler. Does nothing, quickly, when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock=infra/dev/requirements.lock
python="${PYTHON:-python3}"
say() { printf 'setup: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

stamp=.venv/installed
wanted="$(cat "$lock" pyproject.toml infra/dev/setup.sh | sha256sum | cut -d' ' -f1) $PWD"
if [ -x .venv/bin/texture-store ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  fail "$python is not Python 3.11 or newer; install one, or name it: PYTHON=/path/to/python3 bash $0"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "$python lacks venv or pip; on Debian: apt-get install python3-venv python3-pip"

seconds=$SECONDS
if [ ! -x .venv/bin/python ]; then
  say "making .venv with $("$python" --version)"
  "$python" -m venv .venv || fail "could not make .venv with $python"
fi

pinned_uv="$(mktemp)"
trap 'rm -f "$pinned_uv"' EXIT
awk '/^[a-z]/ { on = /^uv==/ } on' "$lock" >"$pinned_uv"
say "installing the installer, $(head -n 1 "$pinned_uv" | cut -d' ' -f1)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$pinned_uv" ||
  fail "pip could not install it; is the package index reachable?"

say "installing $(grep -c '^[a-z].*==' "$lock") pinned packages (about 2.5 GB to fetch the first time, most of it torch with CUDA)"
# A mirror set up for pip serves uv as well.
index="${UV_DEFAULT_INDEX:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}"
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"
# Compiled now, by all cores, and not by every process of a first run; some machines never keep what is compiled later.
.venv/bin/uv pip sync --python .venv/bin/python --require-hashes --compile-bytecode "$lock" 2>&1 | grep -v '^ [-+~] ' ||
  fail "the packages could not be installed; the lines above say which one, and running this again resumes"

say "installing texture_store from this folder"
.venv/bin/uv pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation --editable . ||
  fail "texture_store itself could not be installed"
printf '%s\n' "$wanted" >"$stamp"
say "done in $((SECONDS - seconds)) s"
