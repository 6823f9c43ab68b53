import type { FormDialog } from '../state/dialog-model.ts';
import { askNewSecret } from './secret-dialog.ts';
import type { Call } from '../state/call.ts';

const PASSPHRASE_MIN = 8;

/** How a backup set is made. */
export function setForm(): FormDialog {
  return {
    ...{ kind: 'form', title: 'A backup set', field: 0, problem: '' },
    values: { name: 'nightly', encrypted: 'yes' },
    form: {
      does: 'make it',
      fields: [
        { name: 'name', label: 'Name', note: 'what shares a key and is deduplicated together' },
        {
          ...{ name: 'encrypted', label: 'Encrypted', choices: ['yes', 'no'] },
          note: 'then nothing can be read without passphrase or recovery key',
        },
      ],
      submit({ name = '', encrypted: answer }) {
        const set = name.trim();
        const encrypted = answer === 'yes';
        if (set === '') return 'What is it called?';
        const call: Call = { name: 'set/create', request: { set, encrypted } };
        const title = `backup set ${set}`;
        if (!encrypted) return { title, call };
        const question = `The passphrase of "${set}", without which nothing in it can be read:`;
        return { dialog: askNewSecret({ title, question, min: PASSPHRASE_MIN, call }) };
      },
    },
  };
}
