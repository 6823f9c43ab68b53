import type { ResultOf } from '../../operations/operations.ts';
import type { FormDialog } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model } from '../state/model.ts';
import { COSTLY_MS, whole } from '../state/queries.ts';
import type { Known } from '../state/service.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { fact, listBody, notKnown } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { key, keysFor, type Page } from '../widgets/page.ts';
import { confirmation } from '../widgets/typed.ts';

/* Logins over SSH to this machine: until when, and with which keys. */

export const SSH = whole('ssh', 'ssh/show', {
  everyMs: COSTLY_MS,
});

const WIDTHS = [8, 50];
const onKey = keysFor((model) => chosenOf(keysOf(model), model.chosen.ssh));

export const sshPage: Page = {
  title: 'SSH',
  keys: [
    key('o', 'open', sshForm),
    key('x', 'close', () =>
      confirmation({
        title: 'SSH off',
        question:
          'New logins over SSH are refused from then on, and only a user at this screen can allow them again.',
        word: 'off',
        call: { name: 'ssh/off', request: {} },
      }),
    ),
    key('S', 'shell', shellForm),
    key('a', 'add key', keyForm),
    onKey('d', 'remove key', ({ user, fingerprint, comment }) =>
      confirmation({
        title: `Remove a key of ${user}`,
        question: `The key ${fingerprint} (${comment}) can no longer log in.`,
        word: 'remove',
        call: { name: 'ssh-key/remove', request: { user, fingerprint } },
      }),
    ),
  ],
  queries: [SSH],
  list: {
    kind: 'rows',
    ids: (model) => idsOf(keysOf(model), (it) => `${it.user} ${it.fingerprint}`),
  },
  body: sshBody,
};

function keysOf({ ssh }: Model): Known<ResultOf<'ssh/show'>['keys']> {
  return ssh.kind === 'known' ? { ...ssh, value: ssh.value.keys } : ssh;
}

function sshBody(model: Model): readonly Line[] {
  const { ssh } = model;
  if (ssh.kind !== 'known') return [notKnown(ssh)];
  const { running, until, shellUntil } = ssh.value;
  const on = until === null ? 'on, until it is switched off' : `on until ${utc(until)} UTC`;
  const shell = shellUntil === null ? 'not allowed' : `allowed until ${utc(shellUntil)} UTC`;
  return [
    fact('SSH', running ? on : 'off', 13),
    fact('Shell', shell, 13),
    [],
    ...listBody(model, {
      known: keysOf(model),
      heading: columns(['USER', 'KEY', 'COMMENT'], WIDTHS),
      none: 'No keys: no login over SSH is possible. Press a to add a key.',
      text: ({ user, fingerprint, comment }) => columns([user, fingerprint, comment], WIDTHS),
    }),
  ];
}

const HOUR = 3600;

function sshForm(): FormDialog {
  return operationForm('ssh/on', {
    title: 'Allow logins over SSH',
    does: 'allow them',
    asks: ['seconds'],
    values: { seconds: '4 hours' },
    meanings: {
      seconds: {
        '1 hour': HOUR,
        '4 hours': 4 * HOUR,
        '1 day': 24 * HOUR,
        'until switched off': undefined,
      },
    },
    task: () => 'SSH on',
  });
}

function shellForm(): FormDialog {
  return operationForm('ssh/shell', {
    title: 'A shell over SSH',
    does: 'continue',
    asks: ['seconds'],
    meanings: { seconds: { '30 minutes': HOUR / 2, '2 hours': 2 * HOUR, 'no longer': 0 } },
    task: () => 'shell over SSH',
  });
}

export function keyForm(): FormDialog {
  return operationForm('ssh-key/add', {
    title: 'A key that may log in over SSH',
    does: 'add it',
    asks: ['user', 'key'],
    field: 1,
    task: () => 'SSH key',
  });
}
