import type { SecretDialog } from '../state/dialog-model.ts';
import { edited } from './form-keys.ts';
import type { Key } from '../terminal/keys.ts';
import type { Model, Next } from '../state/model.ts';
import { startTask } from '../state/tasks.ts';
import type { Call } from '../state/call.ts';

/* A new password or passphrase: typed twice, and never shown. */

export function askNewSecret(of: {
  readonly title: string;
  readonly question: string;
  readonly min: number;
  readonly call: Call;
}): SecretDialog {
  return { kind: 'secret', ...of, typed: '', first: undefined, problem: '' };
}

export function secretTyped(it: SecretDialog, model: Model, key: Key): Next {
  return [{ ...model, dialog: { ...it, typed: edited(it.typed, key), problem: '' } }, []];
}

export function secretEntered(it: SecretDialog, model: Model): Next {
  const { typed, first, min, title, call } = it;
  if (first === undefined) {
    const isShort = Array.from(typed).length < min;
    const problem = isShort ? `It needs at least ${min} characters.` : '';
    const next = isShort ? { ...it, typed: '', problem } : { ...it, typed: '', first: typed };
    return [{ ...model, dialog: next }, []];
  }
  if (typed !== first) {
    const problem = 'That was another one. From the beginning:';
    return [{ ...model, dialog: { ...it, typed: '', first: undefined, problem } }, []];
  }
  const base64 = Buffer.from(typed, 'utf8').toString('base64');
  return startTask(model, title, { call, secret: { kind: 'passphrase', base64 } });
}
