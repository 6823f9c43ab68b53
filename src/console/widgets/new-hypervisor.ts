import { comparison } from '../../client/host-key.ts';
import { isThroughSsh, isThroughTls } from '../../client/hypervisor-address.ts';
import { stepsTitle } from '../../client/steps-title.ts';
import type { ShownHypervisor } from '../../operations/nouns/hypervisor.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { Dialog, FollowingWork, FormDialog, FormValues, TextDialog } from '../state/dialog.ts';
import { operationForm } from './operation-form.ts';
import { textDialog } from './scrolled.ts';
import { confirmation } from './typed.ts';

/* A hypervisor is added: what it is recognized by, compared by a person, and what is left to do there. */

const isTls = ({ uri = '' }: FormValues): boolean => isThroughTls(uri.trim());
const isSsh = ({ uri = '' }: FormValues): boolean => isThroughSsh(uri.trim());

/**
 * A host key, or a certificate for which no authority vouches, is asked for and confirmed first, unless its
 * fingerprint was typed. `labels`: other words for its fields.
 */
export function newHypervisorForm(labels: Readonly<Record<string, string>> = {}): FormDialog {
  const labeled = Object.entries(labels).map(([name, label]) => [name, { label }] as const);
  return operationForm('hypervisor/add', {
    title: 'A new hypervisor',
    does: 'add it',
    asks: [
      ...['hypervisor', 'uri', 'sockets', 'scratch'],
      ...['ca', 'clientCertificate', 'clientKey', 'hostKey'],
    ],
    fields: {
      ...Object.fromEntries(labeled),
      ca: { matters: isTls },
      clientCertificate: { matters: isTls },
      clientKey: { matters: isTls },
      // What an authority vouches for is recognized by that.
      hostKey: { matters: (values) => isSsh(values) || (isTls(values) && values['ca'] === '') },
    },
    made: (request, values) =>
      isTls(values) && [values['clientCertificate'], values['clientKey']].includes('')
        ? 'Through TLS, our certificate and its key are needed.'
        : request,
    task: titleOf,
    before: ({ hypervisor, uri, ca, hostKey }) =>
      hostKey === undefined && (isThroughSsh(uri) || (isThroughTls(uri) && ca === undefined))
        ? {
            title: titleOf({ hypervisor }),
            call: { name: 'hypervisor/identify', request: { uri } },
          }
        : undefined,
  });
}

function titleOf({ hypervisor }: Pick<ShownHypervisor, 'hypervisor'>): string {
  return `hypervisor ${hypervisor}`;
}

/**
 * The host key or certificate that it shows, to be compared by the user: only then the hypervisor is added, and known
 * by that.
 */
export function identifiedDialog(
  { uri, keys }: ResultOf<'hypervisor/identify'>,
  values: FormValues,
  wanted?: FollowingWork,
): Dialog {
  const hypervisor = wanted?.hypervisor ?? values['hypervisor'] ?? '';
  const given = (name: string) => values[name] || undefined;
  const [shown] = keys;
  if (!shown) {
    return textDialog('It shows no host key', `${uri} is reached without SSH and TLS.`, true);
  }
  const { fingerprint, type } = shown;
  const { what, command } = comparison(shown);
  const question = [
    `What answers at ${uri} shows this ${what}:`,
    '',
    what === 'certificate' ? fingerprint : `${fingerprint} (${type})`,
    '',
    'Compare it with what the hypervisor prints on its own console:',
    command,
    `From then on, only a host with this ${what} counts as this hypervisor.`,
  ];
  return confirmation({
    title: `Is this ${hypervisor}?`,
    question: question.join('\n'),
    word: 'yes',
    wanted,
    call: {
      name: 'hypervisor/add',
      request: {
        ...{ hypervisor, uri, hostKey: fingerprint },
        ...{ sockets: given('sockets'), scratch: given('scratch'), ca: undefined },
        ...{ clientCertificate: given('clientCertificate'), clientKey: given('clientKey') },
      },
    },
  });
}

/** What is left to do there. */
export function addedDialog(
  { hypervisor, uri, steps }: ResultOf<'hypervisor/add'>,
  wanted?: FollowingWork,
): TextDialog {
  const todo =
    steps.length === 0
      ? ['Press t to see whether backups can begin.']
      : [
          stepsTitle(uri),
          '',
          ...steps,
          '',
          wanted ? `Then press Enter: ${wanted.title}.` : 'Then press t here.',
        ];
  const it = textDialog(`Hypervisor ${hypervisor} is added`, todo.join('\n'));
  return wanted ? { ...it, next: { does: wanted.form.form.does, work: wanted } } : it;
}
