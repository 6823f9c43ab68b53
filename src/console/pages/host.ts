import type { ResultOf } from '../../operations/operations.ts';
import type { ConfirmDialog, FormDialog, SecretDialog } from '../state/dialog.ts';
import type { Model } from '../state/model.ts';
import { COSTLY_MS, whole } from '../state/queries.ts';
import { valueOf } from '../state/service.ts';
import { type Line, line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { fact, notKnown } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { key, keysFor, type Page } from '../widgets/page.ts';
import { askNewSecret, confirmation } from '../widgets/typed.ts';

/* The machine itself: name, time, power, lockdown. */

export const MACHINE = whole('machine', 'host/show', {
  everyMs: COSTLY_MS,
});

const LOCKDOWN = whole('lockdown', 'lockdown/show');

const onMachine = keysFor(({ machine }) => valueOf(machine));
const onLockdown = keysFor(({ lockdown }) => valueOf(lockdown));

export const hostPage: Page = {
  title: 'Host',
  keys: [
    onMachine('enter', 'settings', (it) =>
      settingsForm(it, ['hostname', 'timezone', 'ntp', 'keyboard']),
    ),
    onMachine('p', 'password', passwordDialog),
    key('B', 'reboot', () => powerForm('reboot')),
    key('P', 'off', () => powerForm('poweroff')),
    onLockdown('L', 'lockdown', lockdown),
    onMachine('F', 'reset', ({ hostname }) =>
      confirmation({
        title: 'Factory reset',
        question:
          'The settings of network, name, time and SSH, the SSH keys and the password of the administrator return ' +
          'to their state at delivery. The store, its disk and the keys that open it stay unchanged.',
        word: hostname,
        call: { name: 'host/factory-reset', request: { confirm: hostname } },
      }),
    ),
  ],
  queries: [MACHINE, LOCKDOWN],
  list: { kind: 'none' },
  body: hostBody,
};

function hostBody(model: Model): readonly Line[] {
  const { machine } = model;
  if (machine.kind !== 'known') return [notKnown(machine), ...lockdownLines(model)];
  const it = machine.value;
  const password =
    it.hasPassword === null
      ? 'the account does not exist'
      : it.hasPassword
        ? 'set'
        : 'none: no login is possible';
  return [
    wide('Name', it.hostname),
    wide('System', `${it.system}, Linux ${it.kernel}`),
    wide('Time zone', it.timezone),
    wide('Clock', it.isSynchronized ? 'synchronized with a server' : 'not synchronized'),
    wide('Time servers', it.ntp.join(' ') || "Debian's own"),
    wide('Keyboard', it.keyboard ?? 'not chosen'),
    wide('Password', `of the administrator: ${password}`),
    ...lockdownLines(model),
    [],
    line(' B reboots the host, P powers it off: both ask for a reason.'),
    line(' F resets it to its state at delivery. The store is never touched.'),
  ];
}

function lockdownLines({ lockdown }: Model): Line[] {
  if (lockdown.kind === 'refused') return [wide('Lockdown', lockdown.message)];
  if (lockdown.kind === 'unknown') return [];
  const { on, since, persons, approvals } = lockdown.value;
  if (!on) return [wide('Lockdown', 'off')];
  const agreed = `${approvals.length} of ${persons} agreed to end it`;
  const begun = since === null ? '' : ` since ${utc(since)} UTC`;
  return [line(` LOCKDOWN${begun}: ${agreed}`, 'bad')];
}

function wide(name: string, text: string): Line {
  return fact(name, text, 13);
}

function lockdown({ on, persons, approvals }: ResultOf<'lockdown/show'>): ConfirmDialog {
  if (!on) {
    return confirmation({
      title: 'lockdown',
      question:
        'From then on only recoveries are allowed: recovery points cannot be forgotten, settings cannot be changed, ' +
        'and shells cannot be opened. Use it when a login may have been stolen.',
      word: 'lockdown',
      call: { name: 'lockdown/on', request: {} },
    });
  }
  const agreed = `${approvals.length} agreed so far`;
  return confirmation({
    title: 'end of the lockdown',
    question: `${persons} people have to agree to end it; ${agreed}. Then everything is allowed again.`,
    word: 'agree',
    call: { name: 'lockdown/off', request: {} },
  });
}

const PASSWORD_MIN = 10;

export function passwordDialog(): SecretDialog {
  return askNewSecret({
    title: "administrator's password",
    question: "The administrator's new password, for logins at this screen:",
    min: PASSWORD_MIN,
    call: { name: 'host/password', request: {} },
  });
}

export type SettingName = 'hostname' | 'timezone' | 'ntp' | 'keyboard';

/** Some of the settings, or all of them; only changed ones are part of the request. */
export function settingsForm(
  { hostname, timezone, ntp, keyboard }: ResultOf<'host/show'>,
  asks: readonly SettingName[],
): FormDialog {
  return operationForm('host/set', {
    title: 'This host',
    does: 'set it',
    asks,
    values: { hostname, timezone, ntp: ntp.join(' '), keyboard: keyboard ?? '' },
    onlyChanged: true,
    made: (request) => (Object.keys(request).length === 0 ? 'No setting was changed.' : request),
    task: () => 'settings of the host',
  });
}

function powerForm(how: 'reboot' | 'poweroff'): FormDialog {
  return operationForm(`host/${how}`, {
    title: how === 'reboot' ? 'Reboot the host' : 'Power the host off',
    does: how === 'reboot' ? 'reboot' : 'power off',
    asks: ['reason'],
    task: () => how,
  });
}
