#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A tool that fails once and then works, called through guard.sh; and one that never works.
set -euo pipefail
cd "$(dirname "$0")"
state=$(mktemp)
trap 'rm -f "$state"' EXIT

flaky() { # fails the first time
  if [ -s "$state" ]; then echo "the flaky tool works"; else echo once >"$state"; echo "the flaky tool fails"; return 1; fi
}
export -f flaky
export state IDEMPOTENT=1
./guard.sh example/flaky bash -c flaky
./guard.sh example/broken bash -c 'echo "the broken tool fails"; exit 3' || echo "given up with exit code $?"
