#!/usr/bin/env bash
# The first process of a machine: sets up its network and its own folders, and starts Ray's command that it is given.
set -euo pipefail
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip link set lo up
ip addr add "$ADDRESS/$PREFIX" dev eth0
ip link set eth0 up
# Nothing passes between machines but over the network.
mount -t tmpfs -o size=512m tmpfs /dev/shm
mount -t tmpfs -o size=512m tmpfs "$OWN_FOLDER"
mkdir "$HOME"
# Not exec: the first process has to reap what others leave behind. Ray gives its own start 30 s, fixed, which a busy
# machine does not always keep.
for _ in {1..6}; do
  "$@" --node-ip-address="$ADDRESS" || true
  if grep -q "Ray runtime started" "$LOG"; then exit; fi
  kill -KILL -1 2>/dev/null || true # all but the first process
done
exit 1
