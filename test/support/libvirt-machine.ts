import { createConnection } from 'node:net';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckedDisk, checkedIn, GUEST_WORDS, reportsIn } from './checked-guest.ts';
import { until } from './until.ts';

/** A machine that libvirt runs, with the guest that checks its disks: checked-guest-init.sh says what it reports. */
export interface LibvirtMachine {
  readonly name: string;
  /** As it was defined: to be defined again, with a change too. */
  readonly definition: string;
  /** Starts it; resolves when its guest is up, and its agent answers. */
  start(): Promise<void>;
  /** As `virsh domstate` calls it: `running`, `shut off`, `paused`. */
  state(): Promise<string>;
  /** The guest's reports since the last start. */
  reports(): readonly string[];
  /** Resolves with the first report since the last start that matches. */
  report(wanted: RegExp): Promise<string>;
  /** What the guest found on its disks at its start; resolves when it has checked `count` of them. */
  checked(count: number): Promise<readonly CheckedDisk[]>;
  /** Resolves with the last durable record's number, once the guest has written `more` since the call. */
  durable(more?: number): Promise<number>;
  /** The guest writes no records until `resume`; resolves with the last one's number. */
  rest(): Promise<number>;
  resume(): Promise<void>;
  /** Runs a line of shell in the guest, without its agent; rejects, with what it printed, unless it ends with 0. */
  run(line: string): Promise<string>;
  /** The guest unmounts its disks and turns itself off; resolves when the machine is off. */
  shutDown(): Promise<void>;
  /** As a pulled plug, by libvirt. */
  destroy(): Promise<void>;
  /** kill -9 of its QEMU, of which libvirt knows nothing before; resolves when libvirt has noticed. */
  kill(): Promise<void>;
  /** Attaches a disk while it runs, and to its definition. */
  attach(disk: MachineDisk): Promise<void>;
}

export interface MachineDisk {
  /** `vda`, `vdb`; `sda` on a virtio-scsi controller. */
  readonly target: string;
  readonly path: string;
  readonly format?: 'raw' | 'qcow2';
}

export interface MachinePlan {
  readonly name: string;
  readonly disks: readonly MachineDisk[];
  /** `silent`: it has a channel for its agent, and no agent answers. */
  readonly agent?: 'on' | 'silent' | 'none';
  /** UEFI on q35, its variables where libvirt puts them; `secure`: that can check signatures, has no keys yet, and
   * variables beside the images. */
  readonly isUefi?: boolean | 'secure';
  readonly hasTpm?: boolean;
  readonly uuid?: string;
  /** The guest leaves the disks alone: others write to them. */
  readonly isStill?: boolean;
  /** What it is defined with instead: its guest is given `guestSystem` and `guestDevices` there. */
  readonly definition?: string;
}

interface Host {
  readonly directory: string;
  virsh(...args: readonly string[]): Promise<string>;
  inside(...words: readonly string[]): Promise<string>;
}

const ANSWER_MS = 60_000;

export async function libvirtMachine(host: Host, plan: MachinePlan): Promise<LibvirtMachine> {
  const { name, agent = 'on' } = plan;
  const { virsh } = host;
  const file = (kind: string): string => join(host.directory, `${name}.${kind}`);
  const definition = plan.definition ?? definitionOf(host.directory, plan);
  writeFileSync(file('xml'), definition);
  await virsh('define', '--validate', file('xml'));
  const reports = (): string[] => reportsIn(file('reports'));
  const shown = (): string =>
    [
      ...reports(),
      existsSync(file('console')) ? readFileSync(file('console'), 'utf8').slice(-3000) : '',
    ].join('\n');
  const last = (): number =>
    Number(/^DURABLE (\d+)$/.exec(reports().findLast((it) => it.startsWith('DURABLE')) ?? '')?.[1]);
  const state = async (): Promise<string> => (await virsh('domstate', name)).trim();
  const isOff = async (): Promise<boolean> => (await state()) === 'shut off';
  const pings = (): Promise<boolean> =>
    virsh('qemu-agent-command', name, '{"execute":"guest-ping"}').then(
      () => true,
      () => false,
    );

  const machine: LibvirtMachine = {
    ...{ name, definition, state, reports },
    async start() {
      rmSync(file('reports'), { force: true });
      await virsh('start', name);
      await machine.report(/^GUEST UP/);
      if (agent === 'on') await until(`${name}'s agent answers`, pings, shown);
    },
    async report(wanted) {
      let found: string | undefined;
      await until(
        `${name}'s guest says ${wanted.source}`,
        () => (found = reports().find((line) => wanted.test(line))) !== undefined,
        shown,
      );
      return found!;
    },
    async checked(count) {
      const checked = (): CheckedDisk[] => checkedIn(reports());
      await until(`${name}'s guest checks its disks`, () => checked().length >= count, shown);
      return checked();
    },
    async durable(more = 1) {
      const wanted = (last() || 0) + more;
      await until(`${name}'s guest writes record ${wanted}`, () => last() >= wanted, shown);
      return last();
    },
    async rest() {
      await machine.run('touch /run/paused');
      return Number((await machine.report(/^PAUSED/)).slice('PAUSED '.length));
    },
    resume: async () => void (await machine.run('rm /run/paused')),
    run: shellOf(file('shell')),
    async shutDown() {
      await machine.run('shutdown >/dev/null 2>&1 &');
      await until(`${name} is off`, isOff, shown);
    },
    destroy: async () => void (await virsh('destroy', name)),
    async kill() {
      const pid = join(host.directory, 'run', 'libvirt', 'qemu', `${name}.pid`);
      await host.inside('kill', '-KILL', readFileSync(pid, 'utf8').trim());
      await until(`libvirt knows that ${name} is off`, isOff);
    },
    async attach(disk) {
      const device = file(`${disk.target}.xml`);
      writeFileSync(device, diskXml(disk));
      await virsh('attach-device', name, device, '--live', '--config');
    },
  };
  return machine;
}

/** What runs a line of shell in the guest with that port. */
export function shellOf(socket: string): (line: string) => Promise<string> {
  return (line) => shell(socket, line, String(++calls));
}

let calls = 0;

/** The guest's port `shell` evaluates lines. */
function shell(socket: string, line: string, call: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const connection = createConnection(socket);
  let printed = '';
  const end = new RegExp(`begin ${call}\\n(.*)end ${call} (\\d+)\\n`, 's');
  connection.setTimeout(ANSWER_MS, () =>
    connection.destroy(new Error(`the guest did not answer ${line}: ${printed}`)),
  );
  connection.on('error', reject);
  connection.on('close', () => reject(new Error(`the guest went away in ${line}: ${printed}`)));
  connection.setEncoding('utf8').on('data', (text: string) => {
    printed = (printed + text).replaceAll('\r', '');
    const found = end.exec(printed);
    if (!found) return;
    if (found[2] === '0') resolve(found[1]!);
    else reject(new Error(`${line}: exit code ${found[2]} in the guest: ${found[1]}`));
    connection.destroy();
  });
  connection.write(`echo begin ${call}; ( ${line} ); echo end ${call} $?\n`);
  return promise;
}

export function diskXml({ target, path, format = 'qcow2' }: MachineDisk): string {
  const bus = target.startsWith('sd') ? 'scsi' : 'virtio';
  return `<disk type='file' device='disk'><driver name='qemu' type='${format}' discard='unmap'/>
      <source file='${path}'/><target dev='${target}' bus='${bus}'/><serial>${target}</serial></disk>`;
}

export function definitionOf(directory: string, plan: MachinePlan): string {
  const { name, agent = 'on' } = plan;
  const parts = [
    ...plan.disks.map(diskXml),
    plan.disks.some(({ target }) => target.startsWith('sd')) &&
      "<controller type='scsi' model='virtio-scsi'/>",
    guestDevices(directory, name),
    agent !== 'none' && `<channel type='unix'>${port('org.qemu.guest_agent.0')}</channel>`,
    plan.hasTpm && "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
  ];
  return `<domain type='qemu'>
  <name>${name}</name>${plan.uuid === undefined ? '' : `<uuid>${plan.uuid}</uuid>`}
  <memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os${plan.isUefi ? " firmware='efi'" : ''}>
    <type arch='x86_64' machine='${plan.isUefi ? 'q35' : 'pc'}'>hvm</type>
    ${plan.isUefi ? FIRMWARE[plan.isUefi === 'secure' ? 'secure' : 'plain'] : ''}
    ${plan.isUefi === 'secure' ? `<nvram>${directory}/${name}.nvram</nvram>` : ''}
    ${guestSystem(directory, plan)}
  </os>
  <features><acpi/><apic/>${plan.isUefi === 'secure' ? "<smm state='on'/>" : ''}</features>
  <cpu mode='maximum'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    ${parts.filter(Boolean).join('\n    ')}
    <memballoon model='none'/>
  </devices>
</domain>
`;
}

const FIRMWARE = {
  plain: "<firmware><feature enabled='no' name='secure-boot'/></firmware>",
  secure:
    "<firmware><feature enabled='yes' name='secure-boot'/><feature enabled='no' name='enrolled-keys'/></firmware>",
};

const port = (kind: string): string => `<target type='virtio' name='${kind}'/>`;

/** In `<os>`: the guest's kernel. */
export function guestSystem(
  directory: string,
  { agent, isStill }: Pick<MachinePlan, 'agent' | 'isStill'> = {},
): string {
  const more = [...(agent === 'silent' ? ['agent=silent'] : []), ...(isStill ? ['still'] : [])];
  const words = [GUEST_WORDS, ...more].join(' ');
  return `<kernel>${directory}/vmlinuz</kernel><initrd>${directory}/initrd</initrd><cmdline>${words}</cmdline>`;
}

/** In `<devices>`: by which its guest reports, and is told what to do. */
export function guestDevices(directory: string, name: string): string {
  const serial = (kind: string, at: number): string =>
    `<serial type='file'><source path='${directory}/${name}.${kind}'/><target port='${at}'/></serial>`;
  return `${serial('console', 0)}
    ${serial('reports', 1)}
    <channel type='unix'><source mode='bind' path='${directory}/${name}.shell'/>${port('shell')}</channel>`;
}
