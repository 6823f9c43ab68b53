import { chosenOf } from '../state/lists.ts';
import {
  keyForm,
  poolForm,
  powerForm,
  settingsForm,
  shellForm,
  sshForm,
} from '../widgets/machine-forms.ts';
import type { Model, Next } from '../state/model.ts';
import { askNewSecret } from '../widgets/secret-dialog.ts';
import type { ConfirmDialog, SecretDialog } from '../state/dialog-model.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { Known } from '../state/known.ts';

const PASSWORD_MIN = 10;

export function passwordDialog(): SecretDialog {
  return askNewSecret({
    title: "administrator's password",
    question: "The administrator's new password, for logins at this screen:",
    min: PASSWORD_MIN,
    call: { name: 'host/password', request: {} },
  });
}

export function machineKey(model: Model, key: string): Next {
  const { machine } = model;
  if (key === 'B') return [{ ...model, dialog: powerForm('reboot') }, []];
  if (key === 'P') return [{ ...model, dialog: powerForm('poweroff') }, []];
  if (key === 'L') return lockdownKey(model);
  if (machine.kind !== 'known') return [model, []];
  if (key === 'enter') {
    const names = ['hostname', 'timezone', 'ntp', 'keyboard'] as const;
    return [{ ...model, dialog: settingsForm(machine.value, names) }, []];
  }
  if (key === 'p') return [{ ...model, dialog: passwordDialog() }, []];
  if (key !== 'F') return [model, []];
  const { hostname } = machine.value;
  return [
    {
      ...model,
      dialog: {
        ...{ kind: 'confirm', title: 'Factory reset', word: hostname, typed: '' },
        question:
          "Network, name, time, SSH, its keys and the administrator's password become as they came. The store, its " +
          'disk and what is needed to read it are not touched.',
        call: { name: 'host/factory-reset', request: { confirm: hostname } },
      },
    },
    [],
  ];
}

function lockdownKey(model: Model): Next {
  const { lockdown } = model;
  if (lockdown.kind !== 'known') return [model, []];
  const { on, persons, approvals } = lockdown.value;
  const begin: ConfirmDialog = {
    ...{ kind: 'confirm', title: 'lockdown', word: 'lockdown', typed: '' },
    question:
      'Only what a recovery needs is allowed from then on: nothing is forgotten, no settings are changed, ' +
      'nobody gets a shell. For when somebody may have stolen a login.',
    call: { name: 'lockdown/on', request: {} },
  };
  const end: ConfirmDialog = {
    ...{ kind: 'confirm', title: 'end of the lockdown', word: 'agree', typed: '' },
    question: `It takes ${persons} to end it, and ${approvals.length} agreed so far. All is allowed again then.`,
    call: { name: 'lockdown/off', request: {} },
  };
  return [{ ...model, dialog: on ? end : begin }, []];
}

export function disksKey(model: Model, key: string): Next {
  const disk = chosenOf(model.disks, model.chosen.disks);
  if (!disk || key !== 'enter') return [model, []];
  if (disk.inUse) return [{ ...model, hint: `${disk.name} is in use: nothing is done to it.` }, []];
  return [{ ...model, dialog: poolForm(disk) }, []];
}

const SSH_OFF: ConfirmDialog = {
  ...{ kind: 'confirm', title: 'SSH off', word: 'off', typed: '' },
  question:
    'New SSH logins are refused from then on, and only a user at this screen can allow them again.',
  call: { name: 'ssh/off', request: {} },
};

type SshKey = ResultOf<'ssh/show'>['keys'][number];

export function keysOf({ ssh }: Model): Known<readonly SshKey[]> {
  return ssh.kind === 'known' ? { ...ssh, value: ssh.value.keys } : ssh;
}

export function sshKey(model: Model, key: string): Next {
  if (key === 'o') return [{ ...model, dialog: sshForm() }, []];
  if (key === 'a') return [{ ...model, dialog: keyForm() }, []];
  if (key === 'S') return [{ ...model, dialog: shellForm() }, []];
  if (key === 'x') return [{ ...model, dialog: SSH_OFF }, []];
  const it = chosenOf(keysOf(model), model.chosen.ssh);
  if (!it || key !== 'd') return [model, []];
  const { user, fingerprint } = it;
  return [
    {
      ...model,
      dialog: {
        ...{ kind: 'confirm', title: `Remove a key of ${user}`, word: 'remove', typed: '' },
        question: `Whoever comes in with ${fingerprint} (${it.comment}) does not any more.`,
        call: { name: 'ssh-key/remove', request: { user, fingerprint } },
      },
    },
    [],
  ];
}
