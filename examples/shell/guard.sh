#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command as often as resilienced says. Needs curl and jq.
#   guard.sh TARGET COMMAND [ARGUMENT ...]
# Exit code: the command's, or 75 if the call was refused. RUN_ID names the run, if there is one;
# IDEMPOTENT=1 says that the command may run twice.
set -euo pipefail
url=${RESILIENCED_URL:-http://127.0.0.1:7071}
target=$1
shift
operation=$(cat /proc/sys/kernel/random/uuid)

ask() { # METHOD BODY SECONDS
  curl -sS --max-time "$3" -H 'content-type: application/json' -d "$2" "$url/resilience.v1.$1"
}

while :; do
  body=$(jq -n --arg t "$target" --arg o "$operation" --arg r "${RUN_ID:-}" --arg twice "${IDEMPOTENT:-}" \
    '{target: $t, operation_id: $o, run_id: $r} + if $twice == "1" then {idempotency: "IDEMPOTENCY_IDEMPOTENT"} else {} end')
  if ! answer=$(ask PermitService/Acquire "$body" 0.25); then # nobody answers
    if [ -n "${RUN_ID:-}" ]; then exit 75; fi # hard caps stay hard
    exec "$@" # everything else goes on
  fi
  if [ "$(jq -r .decision <<<"$answer")" = DECISION_GRANTED ]; then
    began=$(date +%s.%N) status=0
    "$@" || status=$?
    took=$(printf '%.6f' "$(jq -n "$(date +%s.%N) - $began")")
    body=$(jq -n --argjson permit "$(jq .permit <<<"$answer")" --argjson status "$status" --arg took "${took}s" \
      '{permit_id: $permit.permit_id, fence: $permit.fence, duration: $took}
       + if $status == 0 then {outcome: "OUTCOME_SUCCESS", signal: {http_status: 200}}
         else {outcome: "OUTCOME_FAILURE", signal: {http_status: 503}} end')
    answer=$(ask PermitService/Report "$body" 5) || exit "$status"
    if [ "$(jq -r .action <<<"$answer")" = ACTION_CONTINUE ]; then exit "$status"; fi
  fi
  case "$(jq -r '.decision // "" | sub("DECISION_"; "")' <<<"$answer")/$(jq -r '.action // ""' <<<"$answer")" in
    WAIT/* | */ACTION_RETRY | */ACTION_FALLBACK) sleep "$(jq -r '.delay // "0s"' <<<"$answer")" ;;
    *) echo "guard: $(jq -c '{action, reason, message} | del(..|nulls)' <<<"$answer")" >&2; exit "${status:-75}" ;;
  esac
done
