// SPDX-License-Identifier: Apache-2.0
// An agent that calls a model and a tool under a cap. Its upstream is a small server of its own, with faults.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { ask, guarded, Refused, URL } from './guard.mjs';

const faults = { '/chat': [[429, { 'retry-after': '1' }]], '/search': [[503, {}]] }; // the first call of each

const upstream = createServer((request, answer) => {
  const [status, headers] = faults[request.url].pop() ?? [200, {}];
  answer.writeHead(status, headers).end(JSON.stringify({ text: `an answer of ${request.url}`, cost_micros: 3000 }));
});
await new Promise((listening) => upstream.listen(0, '127.0.0.1', listening));

/** One attempt: the value, and what the wire said. No retries here. */
async function post(path) {
  try {
    const answer = await fetch(`http://127.0.0.1:${upstream.address().port}${path}`, { method: 'POST', body: '{}', signal: AbortSignal.timeout(30_000) });
    const value = await answer.json();
    if (answer.ok) return [value.text, { outcome: 'OUTCOME_SUCCESS', signal: { http_status: answer.status }, usage: { cost_micros: value.cost_micros } }];
    const wait = answer.headers.get('retry-after'), headers = wait ? { 'retry-after': wait } : {};
    console.log(`  ${path}: ${answer.status}`, headers);
    return [undefined, { outcome: 'OUTCOME_FAILURE', signal: { http_status: answer.status, headers }, usage: { cost_micros: 0 } }];
  } catch (error) {
    return [undefined, { outcome: 'OUTCOME_FAILURE', signal: { exception: error.name === 'TimeoutError' ? 'timeout' : error.cause?.code ?? error.name } }];
  }
}

const run = `node-${randomUUID()}`;
await ask('RunService/StartRun', { request_id: randomUUID(), run_id: run, caps: { cost_micros: 20000 } }, 5000).catch((error) => {
  console.error(`resilienced does not answer at ${URL}: ${error.message}. Start it with: make run`);
  process.exit(1);
});
try {
  for (let step = 1; step < 10; step++) {
    for (const [target, path] of [['example/model', '/chat'], ['example/search', '/search']]) {
      const text = await guarded(target, () => post(path), { run_id: run, idempotency: 'IDEMPOTENCY_IDEMPOTENT', estimate: { cost_micros: 3000 } });
      console.log(`step ${step}: ${text}`);
    }
  }
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.log(`stopped: ${error.message}`);
}
const { spent } = (await ask('RunService/GetRun', { run_id: run }, 5000)).run;
console.log(`spent ${spent.cost_micros} of 20000 micro-USD in ${spent.calls} calls`);
upstream.close();
