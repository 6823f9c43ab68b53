import { field, flag, object, withDefault } from '../../lib/schema.ts';
import { point } from '../base/fields.ts';
import { query } from '../base/operation.ts';
import { wholeProof } from '../base/proofs.ts';

/* Proof of recovery: recovery points booted in isolation, and what is kept of that. */

const asked = (what: string) => field(withDefault(flag(), false), what);

const show = query('verify/show', {
  summary: 'Show the last proof of a recovery point',
  description:
    'The checks, screen and serial line of its last boot in isolation. Needs the key of its set: in an encrypted set ' +
    'all but the verdict is encrypted. "backup list" shows verdicts without a key.',
  runs: 'store',
  shows: ['verify', 'backup'],
  key: 'opens',
  passkey: 'for what is guarded',
  guarded: ['screenshot', 'picture', 'serial'],
  request: object({
    point,
    screenshot: asked('with the screenshot'),
    picture: asked('with a small picture of the screen'),
    serial: asked('with what the guest wrote to its serial line'),
  }),
  result: wholeProof,
});

export const operations = [show] as const;
