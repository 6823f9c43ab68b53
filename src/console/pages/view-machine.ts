import { formatSize } from '../../lib/sizes.ts';
import { keysOf } from './machine-keys.ts';
import type { Model } from '../state/model.ts';
import { columns, fitted, type Line, line, wrapped } from '../terminal/screen.ts';
import { listBody } from './view-lists.ts';
import { notKnown } from '../widgets/view-status.ts';
import { chosenOf } from '../state/lists.ts';
import { utc } from '../terminal/words.ts';

export function machineBody(model: Model): readonly Line[] {
  const { machine } = model;
  if (machine.kind !== 'known') return [notKnown(machine), ...lockdownLines(model)];
  const it = machine.value;
  const password =
    it.hasPassword === null
      ? 'there is no account'
      : it.hasPassword
        ? 'set'
        : 'none: nobody can log in';
  return [
    field('Name', it.hostname),
    field('System', `${it.system}, Linux ${it.kernel}`),
    field('Time zone', it.timezone),
    field('Clock', it.isSynchronized ? 'follows a server' : 'follows no server'),
    field('Time servers', it.ntp.join(' ') || "Debian's own"),
    field('Keyboard', it.keyboard ?? 'not chosen'),
    field('Password', `of the administrator: ${password}`),
    ...lockdownLines(model),
    [],
    line(' B starts the machine again, P switches it off: both ask for a reason.'),
    line(' F makes it as it came. The store is never touched.'),
  ];
}

function lockdownLines({ lockdown }: Model): Line[] {
  if (lockdown.kind === 'refused') return [field('Lockdown', lockdown.message)];
  if (lockdown.kind === 'unknown') return [];
  const { on, since, persons, approvals } = lockdown.value;
  if (!on) return [field('Lockdown', 'off')];
  const agreed = `${approvals.length} of ${persons} agreed to its end`;
  const begun = since === null ? '' : ` since ${utc(since)} UTC`;
  return [line(` LOCKDOWN${begun}: ${agreed}`, 'bad')];
}

export function disksBody(model: Model): readonly Line[] {
  const widths = [10, 9, 16, 9];
  const list = listBody(model, {
    known: model.disks,
    heading: columns(['DISK', 'SIZE', 'MODEL', 'HEALTH', 'HOLDS'], widths),
    none: 'This machine has no disks that can be written to.',
    text: ({ name, size, model: kind, health, holds }) =>
      columns(
        [name, formatSize(size), kind ?? '-', health.state, holds.join('; ') || 'nothing'],
        widths,
      ),
  });
  const it = chosenOf(model.disks, model.chosen.disks);
  if (!it) return list;
  const words = [
    `${it.name}: serial ${it.serial ?? 'unknown'}, ${it.bus ?? 'no bus'}, ${it.spins ? 'spins' : 'solid state'}`,
    `health: ${it.health.detail}`,
    `${it.inUse ? 'in use; ' : ''}holds ${it.holds.join('; ') || 'nothing'}`,
  ];
  const width = model.size.columns - 3;
  return [
    ...list,
    [],
    ...words.flatMap((text) => wrapped(text, width).map((row) => line(` ${row}`))),
  ];
}

export function sshBody(model: Model): readonly Line[] {
  const { ssh } = model;
  if (ssh.kind !== 'known') return [notKnown(ssh)];
  const { running, until, shellUntil } = ssh.value;
  const on = until === null ? 'on, until it is switched off' : `on until ${utc(until)} UTC`;
  const shell = shellUntil === null ? 'not allowed' : `allowed until ${utc(shellUntil)} UTC`;
  const widths = [8, 50];
  return [
    field('SSH', running ? on : 'off'),
    field('Shell', shell),
    [],
    ...listBody(model, {
      known: keysOf(model),
      heading: columns(['AS', 'KEY', 'OF'], widths),
      none: 'No keys: nobody comes in over SSH. a lets somebody in.',
      text: ({ user, fingerprint, comment }) => columns([user, fingerprint, comment], widths),
    }),
  ];
}

function field(name: string, text: string): Line {
  return line(` ${fitted(name, 13)} ${text}`);
}
