import type { RecoveryKeyDialog } from './dialog-model.ts';
import { edited } from './form-keys.ts';
import type { Key } from './keys.ts';
import type { Model, Next } from './model.ts';

/*
 * A recovery key is shown once. Who has not written it down finds that out now, and not on the day when it is
 * needed: its last group has to be typed while it is not seen.
 */

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
    return [{ ...model, dialog: undefined, hint: 'The recovery key is confirmed.' }, []];
  }
  const hint = 'That is not its last group. Esc shows the key again.';
  return [{ ...model, dialog: { ...it, typed: '' }, hint }, []];
}

/** Groups stand apart by hyphens or spaces. */
function lastGroup(key: string): string {
  return key.split(/[\s-]+/).at(-1)!;
}
