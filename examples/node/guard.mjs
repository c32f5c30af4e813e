// SPDX-License-Identifier: Apache-2.0
// Ask resilienced before a call, tell it how it went, and do what it says.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

export const URL = process.env.RESILIENCED_URL ?? 'http://127.0.0.1:7071';
const REPORTER = `${hostname()}-${randomUUID()}`; // this start of this process

/** The call was not made, or not made again. message is the reason. */
export class Refused extends Error {}

class Down extends Error {} // nobody answers, or the service has a problem of its own

export async function ask(method, body, timeout) {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(timeout) };
  const answer = await fetch(`${URL}/resilience.v1.${method}`, request).catch((error) => { throw new Down(error.cause?.message ?? error.message); });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  throw [429, 500, 503, 504].includes(answer.status) ? new Down(text) : new Error(text); // else a field is wrong, or the run is unknown
}

const ms = (delay) => 1000 * parseFloat(delay ?? '0s');

/** Calls call(target) as often as the directives say and returns its value. call returns [value, what to report]. */
export async function guarded(target, call, ids = {}) {
  ids = { operation_id: randomUUID(), ...ids };
  for (;;) {
    let then;
    try {
      then = await ask('PermitService/Acquire', { target, request_id: randomUUID(), reporter_id: REPORTER, ...ids }, 250);
    } catch (error) { // nobody answers: hard caps stay hard, everything else goes on
      if (!(error instanceof Down)) throw error;
      if (ids.run_id) throw new Refused(`resilienced does not answer: ${error.message}`);
      return (await call(target))[0];
    }
    if (then.decision === 'DECISION_GRANTED') {
      const { permit } = then, began = performance.now();
      const [value, seen] = await call(permit.target);
      const duration = `${((performance.now() - began) / 1000).toFixed(6)}s`;
      then = await ask('PermitService/Report', { permit_id: permit.permit_id, fence: permit.fence, duration, ...seen }, 5000)
        .catch((error) => ({ action: seen.outcome === 'OUTCOME_SUCCESS' ? 'ACTION_CONTINUE' : 'ACTION_STOP', reason: error.message })); // the lease ends by itself
      if (then.action === 'ACTION_CONTINUE') return value;
    }
    const again = then.decision === 'DECISION_WAIT' || ['ACTION_RETRY', 'ACTION_FALLBACK'].includes(then.action);
    if (!again) throw new Refused(`${then.action}: ${then.reason}`);
    await sleep(ms(then.delay));
  }
}
