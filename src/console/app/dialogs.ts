import type { Dialog } from '../state/dialog.ts';
import { type Model, type Next, type Query, still } from '../state/model.ts';
import { jobKind } from '../pages/jobs.ts';
import { filterKind } from '../pages/points.ts';
import { proofKind } from '../pages/proof.ts';
import { sessionKind } from '../pages/session.ts';
import type { Key } from '../terminal/keys.ts';
import type { Line } from '../terminal/screen.ts';
import { formKind } from '../widgets/form.ts';
import { type DialogKind, keysText, nameOf, pressed } from '../widgets/page.ts';
import { recoveryKeyKind } from '../widgets/recovery-key.ts';
import { textKind } from '../widgets/scrolled.ts';
import { confirmKind, leaveKind, passphraseKind, secretKind } from '../widgets/typed.ts';

/* Dialogs: questions and messages that replace a page. */

type Kinds = {
  readonly [K in Dialog['kind']]: DialogKind<Extract<Dialog, { readonly kind: K }>>;
};

const KINDS: Kinds = {
  form: formKind,
  confirm: confirmKind,
  passphrase: passphraseKind,
  secret: secretKind,
  'recovery-key': recoveryKeyKind,
  filter: filterKind,
  leave: leaveKind,
  text: textKind,
  proof: proofKind,
  job: jobKind,
  session: sessionKind,
};

/** The compiler does not see that a kind belongs to its own dialog. */
function kindOf({ kind }: Dialog): DialogKind<Dialog> {
  return KINDS[kind] as DialogKind<Dialog>;
}

export function dialogKey(model: Model, dialog: Dialog, key: Key): Next {
  const { keys, typed } = kindOf(dialog);
  const name = nameOf(key);
  // Ctrl-C also always means: leave the dialog.
  const own = pressed(keys(dialog), name === 'interrupt' ? 'escape' : name, model);
  return own ?? typed?.(dialog, model, key) ?? still(model);
}

export function dialogBody(dialog: Dialog, model: Model): readonly Line[] {
  return kindOf(dialog).body(dialog, model);
}

/** The bottom line. */
export function dialogHelp(dialog: Dialog, model: Model): string {
  return keysText(kindOf(dialog).keys(dialog), model);
}

/** The queries of a dialog while it is shown. */
export function dialogQueries(dialog: Dialog): readonly Query[] {
  return kindOf(dialog).queries ?? [];
}

export const DIALOG_QUERIES = Object.values(KINDS).flatMap(({ queries = [] }) => queries);
