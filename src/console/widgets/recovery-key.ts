import type { Dialog, NewRecoveryKey, RecoveryKeyDialog } from '../state/dialog.ts';
import { type Model, type Next, withDialog, withHint } from '../state/model.ts';
import { type Line, line, wrapped } from '../terminal/screen.ts';
import { type DialogKind, key } from './page.ts';
import { edited, escape, input, paragraph, textWidth } from './typed.ts';

/*
 * A recovery key is shown once. A user who has not written it down notices that now, and not on the day when it is
 * needed: its last group has to be typed while the key is hidden. No other dialog replaces it.
 */

/** Replaces any dialog except another recovery key, behind which it waits. */
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

const GROUP_MAX = 64;

export const recoveryKeyKind: DialogKind<RecoveryKeyDialog> = {
  keys: (it) =>
    it.isHidden
      ? [
          key('enter', 'continue', (model) => confirmed(it, model)),
          escape('show the key again', () => ({ ...it, typed: '', isHidden: false })),
        ]
      : [key('enter', 'continue', () => ({ ...it, isHidden: true }))],
  typed: (it, model, key) =>
    it.isHidden
      ? withDialog(model, { ...it, typed: edited(it.typed, key, GROUP_MAX) })
      : withHint(model, 'Write it down, then press Enter: it is shown only once.'),
  body: recoveryKeyBody,
};

function confirmed(it: RecoveryKeyDialog, model: Model): Next {
  if (it.typed.trim().toLowerCase() !== lastGroup(it.recoveryKey).toLowerCase()) {
    const hint = 'This is not the last group. Press Esc to see the key again.';
    return [{ ...model, dialog: { ...it, typed: '' }, hint }, []];
  }
  const [next, ...waiting] = it.waiting;
  const dialog = next && shownFirst(next, waiting);
  return [{ ...model, dialog, hint: `The recovery key of "${it.set}" is confirmed.` }, []];
}

/** Groups are separated by hyphens or spaces. */
function lastGroup(key: string): string {
  return key.split(/[\s-]+/).at(-1)!;
}

function recoveryKeyBody(
  { set, recoveryKey, typed, isHidden }: RecoveryKeyDialog,
  model: Model,
): readonly Line[] {
  const title = line(` The recovery key of "${set}"`, 'strong');
  if (isHidden) {
    const question =
      'Type its last group from what you have written down (Esc shows the key again):';
    return [[], title, [], ...paragraph(question, model), ...input(typed, model)];
  }
  const why =
    'It is shown only once. Write it down, and keep it away from the backups: without passphrase and recovery ' +
    'key, they can never be read again.';
  return [
    [],
    title,
    [],
    ...wrapped(recoveryKey, textWidth(model) - 4).map((it) => line(`     ${it}`, 'strong')),
    [],
    ...paragraph(why, model),
    [],
    line(' Press Enter once it is written down.'),
  ];
}
