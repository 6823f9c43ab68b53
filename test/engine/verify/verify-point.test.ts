import { equal, ok, throws } from 'node:assert/strict';
import { test } from 'tap';
import { askedBy } from '../../../src/engine/verify/verify-point.ts';
import { PROOF_CHECKS_MAX } from '../../../src/formats/store/catalog/proof-result.ts';
import { parse } from '../../../src/lib/schema.ts';
import { OPERATIONS } from '../../../src/operations/operations.ts';

const LISTS = { text: 'up', port: 80, http: '80/health', script: 'db' };

/** A request with `count` checks of each kind of which there can be several. */
function requestWith(count: number) {
  const lists = Object.entries(LISTS).map(([name, one]) => [name, Array(count).fill(one)]);
  const request = { point: 'web1', agent: true, screen: true, ...Object.fromEntries(lists) };
  return parse(OPERATIONS['verify/point'].request, request);
}

test('a proof has room for all checks of the largest request', async () => {
  const { texts, ports, http, scripts } = askedBy(requestWith(16)).checks;
  const several = [texts, ports, http, scripts].map((it) => it.length);
  const once = ['boot', 'agent', 'screen'];
  const count = several.reduce((sum, it) => sum + it, once.length);
  equal(count, 67);
  ok(count <= PROOF_CHECKS_MAX);
  throws(() => requestWith(17), /text/);
});
