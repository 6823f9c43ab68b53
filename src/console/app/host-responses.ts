import type { Dialog } from '../state/dialog-model.ts';
import type { Answer, LookName, Model } from '../state/model.ts';
import { recoveryKeyDialog } from '../widgets/recovery-key.ts';
import type { Known } from '../state/known.ts';

/* What is answered about the machine itself. */

/** Undefined: that is about something else. */
export function hostAnswered(model: Model, { name, result }: Answer): Model | undefined {
  const known = <T>(value: T): Known<T> => ({ kind: 'known', value, atMs: model.nowMs });
  if (name === 'network/show') return { ...model, network: known(result) };
  if (name === 'host/show') return { ...model, machine: known(result) };
  if (name === 'lockdown/show') return { ...model, lockdown: known(result) };
  if (name === 'ssh/show') return { ...model, ssh: known(result) };
  if (name === 'disk/list') return { ...model, disks: known(result.disks) };
  return undefined;
}

/** What has to be seen, once something was done; a recovery key also by whoever types something else now. */
export function shownAfter(
  { name, request, result }: Answer,
  dialog: Dialog | undefined,
): Dialog | undefined {
  if (name === 'set/create' && result.recoveryKey !== null) {
    return recoveryKeyDialog({ set: request.set, recoveryKey: result.recoveryKey }, dialog);
  }
  if (dialog) return undefined;
  if (name === 'network/test') {
    const isFailure = result.checks.some(({ ok }) => !ok);
    const lines = result.checks.map(
      ({ what, ok, detail }) => `${ok ? 'ok    ' : 'FAILED'}  ${what}: ${detail}`,
    );
    const title = isFailure ? 'Something does not work' : 'The network works';
    return { kind: 'text', title, text: lines.join('\n'), isFailure, top: 0 };
  }
  if (name === 'host/factory-reset' && result.failed.length > 0) {
    const text = result.failed.join('\n');
    return { kind: 'text', title: 'Not all could be reset', text, isFailure: true, top: 0 };
  }
  return undefined;
}

/** What a change of the machine may have changed; undefined: it was none. */
export function changedBy(name: Answer['name']): readonly LookName[] | undefined {
  if (name.startsWith('network/')) return ['network'];
  if (name.startsWith('ssh')) return ['ssh'];
  if (name.startsWith('lockdown/')) return ['lockdown'];
  if (name.startsWith('pool/')) return ['disks', 'facts'];
  if (name.startsWith('host/')) return ['machine', 'network', 'ssh'];
  return name === 'set/create' || name === 'store/create' ? ['facts', 'sets'] : undefined;
}
