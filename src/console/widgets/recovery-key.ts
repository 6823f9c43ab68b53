import type { Dialog, NewRecoveryKey, RecoveryKeyDialog } from '../state/dialog-model.ts';
import { edited } from './form-keys.ts';
import type { Key } from '../terminal/keys.ts';
import type { Model, Next } from '../state/model.ts';

/*
 * A recovery key is shown once. Who has not written it down finds that out now, and not on the day when it is
 * needed: its last group has to be typed while it is not seen. Nothing takes the place of one that is shown.
 */

/** In the place of any dialog but that of another key, behind which it waits. */
export function recoveryKeyDialog(key: NewRecoveryKey, before: Dialog | undefined): Dialog {
  if (before?.kind === 'recovery-key') return { ...before, waiting: [...before.waiting, key] };
  return shownFirst(key, []);
}

function shownFirst(
  { set, recoveryKey }: NewRecoveryKey,
  waiting: readonly NewRecoveryKey[],
): RecoveryKeyDialog {
  return { kind: 'recovery-key', set, recoveryKey, typed: '', isHidden: false, waiting };
}

export function recoveryKeyKey(it: RecoveryKeyDialog, model: Model, key: Key): Next {
  if (!it.isHidden) {
    const isEnter = key.kind === 'named' && key.name === 'enter';
    if (isEnter) return [{ ...model, dialog: { ...it, isHidden: true } }, []];
    return [{ ...model, hint: 'Write it down, then press Enter: it is shown this once.' }, []];
  }
  if (key.kind === 'named' && (key.name === 'escape' || key.name === 'interrupt')) {
    return [{ ...model, dialog: { ...it, typed: '', isHidden: false } }, []];
  }
  if (key.kind === 'text' || key.name !== 'enter') {
    return [{ ...model, dialog: { ...it, typed: edited(it.typed, key, 64) } }, []];
  }
  if (it.typed.trim().toLowerCase() === lastGroup(it.recoveryKey).toLowerCase()) {
    const [next, ...waiting] = it.waiting;
    const dialog = next && shownFirst(next, waiting);
    return [{ ...model, dialog, hint: `The recovery key of "${it.set}" is confirmed.` }, []];
  }
  const hint = 'That is not its last group. Esc shows the key again.';
  return [{ ...model, dialog: { ...it, typed: '' }, hint }, []];
}

/** Groups stand apart by hyphens or spaces. */
function lastGroup(key: string): string {
  return key.split(/[\s-]+/).at(-1)!;
}
