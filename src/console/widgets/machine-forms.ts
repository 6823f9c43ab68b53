import type { ResultOf } from '../../operations/operations.ts';
import type { FormDialog, FormField, FormValues } from '../state/dialog-model.ts';
import { listed } from './network-forms.ts';
import type { Call } from '../state/call.ts';

/* What is asked of people about the machine itself. */

type Settings = ResultOf<'host/show'>;
type SettingName = 'hostname' | 'timezone' | 'ntp' | 'keyboard';

const SETTINGS: Readonly<Record<SettingName, Omit<FormField, 'name'>>> = {
  hostname: { label: 'Name', note: 'letters, digits and hyphens' },
  timezone: { label: 'Time zone', note: 'as Europe/Berlin or America/New_York' },
  ntp: { label: 'Time servers', note: "names or addresses; empty: Debian's own" },
  keyboard: { label: 'Keyboard', note: 'of this screen: us, gb, de, ch, fr ...; empty: as it is' },
};

/** Some of the settings, or all; only what was changed is asked for. */
export function settingsForm(now: Settings, names: readonly SettingName[]): FormDialog {
  const before: FormValues = {
    ...{ hostname: now.hostname, timezone: now.timezone },
    ...{ ntp: now.ntp.join(' '), keyboard: now.keyboard ?? '' },
  };
  return {
    ...{ kind: 'form', title: 'This machine', field: 0, problem: '', values: before },
    form: {
      does: 'set it',
      fields: names.map((name) => ({ name, ...SETTINGS[name] })),
      submit(values) {
        const changed = (name: SettingName): string | undefined => {
          const text = (values[name] ?? '').trim();
          return text === before[name] ? undefined : text;
        };
        const ntp = changed('ntp');
        const request = {
          ...{ hostname: changed('hostname'), timezone: changed('timezone') },
          ...{ ntp: ntp === undefined ? undefined : listed(ntp), keyboard: changed('keyboard') },
        };
        if (Object.values(request).every((it) => it === undefined)) return 'Nothing was changed.';
        return { title: 'settings of the machine', call: { name: 'host/set', request } };
      },
    },
  };
}

export function powerForm(how: 'reboot' | 'poweroff'): FormDialog {
  const title = how === 'reboot' ? 'Start the machine again' : 'Switch the machine off';
  const note = 'for the audit log; sessions are flushed and go on at the next start';
  return {
    ...{ kind: 'form', title, field: 0, problem: '', values: { reason: '' } },
    form: {
      ...{ does: how === 'reboot' ? 'reboot' : 'power off' },
      fields: [{ name: 'reason', label: 'Reason', note }],
      submit({ reason = '' }) {
        if (reason.trim().length < 3) return 'Why? It goes to the audit log.';
        return { title: how, call: { name: `host/${how}`, request: { reason: reason.trim() } } };
      },
    },
  };
}

export function poolForm(disk: ResultOf<'disk/list'>['disks'][number]): FormDialog {
  const { name, serial, holds, model } = disk;
  const word = serial ?? name;
  const fields: readonly FormField[] = [
    {
      ...{ name: 'fileSystem', label: 'File system', choices: ['xfs', 'ext4'] },
      note: 'XFS unless there is a reason',
    },
    ...(holds.length === 0
      ? []
      : [{ name: 'erase', label: 'Erase', note: `ALL ON IT IS LOST: type ${word} to go on` }]),
  ];
  const what = holds.length === 0 ? 'empty' : `holds ${holds.join('; ')}`;
  return {
    ...{ kind: 'form', title: `${name} (${model ?? 'disk'}, ${what}) for backups`, field: 0 },
    ...{ problem: '', values: { fileSystem: 'xfs', erase: '' } },
    form: {
      ...{ does: 'make it the pool', fields },
      submit({ fileSystem, erase = '' }) {
        if (holds.length > 0 && erase !== word) return `Type ${word}, or press Esc.`;
        const call: Call = {
          name: 'pool/create',
          request: {
            ...{ disk: name, fileSystem: fileSystem === 'ext4' ? 'ext4' : 'xfs' },
            erase: erase === '' ? undefined : erase,
          },
        };
        return { title: `pool on ${name}`, call };
      },
    },
  };
}

const HOUR = 3600;
const TIMES: Readonly<Record<string, number | undefined>> = {
  '1 hour': HOUR,
  '4 hours': 4 * HOUR,
  '1 day': 24 * HOUR,
  'until switched off': undefined,
};

export function sshForm(): FormDialog {
  return {
    ...{ kind: 'form', title: 'Let SSH in', field: 0, problem: '', values: { time: '4 hours' } },
    form: {
      does: 'switch it on',
      fields: [
        {
          ...{ name: 'time', label: 'For', choices: Object.keys(TIMES) },
          note: 'off by itself then, also if the machine is off at that time',
        },
      ],
      submit: ({ time = '' }) => ({
        title: 'SSH on',
        call: { name: 'ssh/on', request: { seconds: TIMES[time] } },
      }),
    },
  };
}

const SHELL_TIMES: Readonly<Record<string, number>> = {
  '30 minutes': HOUR / 2,
  '2 hours': 2 * HOUR,
  'no more': 0,
};

export function shellForm(): FormDialog {
  return {
    ...{ kind: 'form', title: 'A shell over SSH', field: 0, problem: '' },
    values: { time: '30 minutes' },
    form: {
      does: 'go on',
      fields: [
        {
          ...{ name: 'time', label: 'For', choices: Object.keys(SHELL_TIMES) },
          note: 'ssh -t admin@box shell; each is logged',
        },
      ],
      submit: ({ time = '' }) => ({
        title: 'shell over SSH',
        call: { name: 'ssh/shell', request: { seconds: SHELL_TIMES[time] ?? 0 } },
      }),
    },
  };
}

export function keyForm(): FormDialog {
  return {
    ...{ kind: 'form', title: 'Let somebody in by a key', field: 1, problem: '' },
    values: { user: 'admin', key: '' },
    form: {
      does: 'let in',
      fields: [
        {
          ...{ name: 'user', label: 'As', choices: ['admin', 'restore'] },
          note: 'admin: this console; restore: SFTP to opened files',
        },
        { name: 'key', label: 'Public key', note: 'pasted: ssh-ed25519 AAAA... name' },
      ],
      submit({ user, key = '' }) {
        if (key.trim() === '') return 'Paste the line of a file such as id_ed25519.pub.';
        const request = {
          user: user === 'restore' ? 'restore' : 'admin',
          key: key.trim(),
        } as const;
        return { title: 'SSH key', call: { name: 'ssh-key/add', request } };
      },
    },
  };
}
