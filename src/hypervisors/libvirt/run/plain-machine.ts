import type { DescribedNic, MachineDescription } from '../../../formats/store/catalog/machine.ts';
import { diskIds } from '../../base/disk-ids.ts';
import type { ShownDisk } from '../../base/run-driver.ts';
import { tpmVersion } from '../../base/tpm-version.ts';
import { element, type XmlElement } from '../../base/xml.ts';
import { freeTarget, isQ35, isTarget, qemuBus, qemuType } from '../../base/disk-targets.ts';

/* A machine that another hypervisor has described, or of which libvirt's own definition was not kept. */

const CARDS = new Set(['virtio', 'e1000', 'e1000e', 'rtl8139', 'vmxnet3', 'ne2k_pci', 'pcnet']);
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** Its disks are those of `shown`, in that order, without sources. */
export function plainMachine(machine: MachineDescription, shown: readonly ShownDisk[]): XmlElement {
  const { cpu, memory, firmware } = machine;
  const isSecure = firmware.kind === 'uefi' && firmware.secureBoot;
  const bytes = String(Math.max(1, Math.floor(memory.bytes / 1024)));
  const disks = disksOf(machine, shown);
  return element(
    'domain',
    {},
    element('memory', { unit: 'KiB' }, bytes),
    element('vcpu', {}, String(cpu.count)),
    processor(machine),
    element('os', {}, element('type', { arch: machine.arch, machine: qemuType(machine) }, 'hvm')),
    element(
      'features',
      {},
      element('acpi', {}),
      element('apic', {}),
      isSecure ? element('smm', { state: 'on' }) : undefined,
    ),
    element('clock', { offset: machine.clock }),
    element(
      'devices',
      {},
      ...(disks.some(({ bus }) => bus === 'scsi')
        ? [element('controller', { type: 'scsi', index: '0', model: 'virtio-scsi' })]
        : []),
      ...disks.map(({ xml }) => xml),
      ...machine.nics.map(cardOf),
      machine.tpm &&
        element(
          'tpm',
          { model: tpmVersion(machine.tpm) === '2.0' ? 'tpm-crb' : 'tpm-tis' },
          element('backend', { type: 'emulator', version: tpmVersion(machine.tpm) }),
        ),
      element('graphics', { type: 'vnc', autoport: 'yes', listen: '127.0.0.1' }),
      element('video', {}, element('model', { type: 'vga' })),
    ),
  );
}

function processor({ cpu }: MachineDescription): XmlElement | undefined {
  const { count, sockets, cores, threads, model } = cpu;
  const hasTopology = sockets && cores && threads && sockets * cores * threads === count;
  const mode = /^host-(passthrough|model)$/.test(model ?? '') ? model : undefined;
  if (!hasTopology && mode === undefined) return undefined;
  const parts = { sockets: String(sockets), cores: String(cores), threads: String(threads) };
  return element('cpu', { mode }, hasTopology ? element('topology', parts) : undefined);
}

function disksOf(machine: MachineDescription, shown: readonly ShownDisk[]) {
  const onQ35 = isQ35(machine);
  const used = new Set<string>();
  const boots = machine.boot.filter((it) => it.startsWith('disk:'));
  return shown.map(({ name }) => {
    const described = machine.disks.find((it) => it.name === name);
    const bus = qemuBus(described?.bus, onQ35);
    const target = isTarget(name, bus) && !used.has(name) ? name : freeTarget(bus, used);
    used.add(target);
    const order = boots.indexOf(`disk:${name}`);
    const { serial, wwn } = diskIds(described, bus);
    const sector = described?.sectorBytes === 4096 ? '4096' : undefined;
    const xml = element(
      'disk',
      { type: 'network', device: 'disk' },
      element('target', { dev: target, bus }),
      order < 0 ? undefined : element('boot', { order: String(order + 1) }),
      sector && element('blockio', { logical_block_size: sector, physical_block_size: sector }),
      serial === undefined ? undefined : element('serial', {}, serial),
      wwn === undefined ? undefined : element('wwn', {}, wwn),
    );
    return { xml, bus };
  });
}

function cardOf({ mac, model, connected }: DescribedNic): XmlElement {
  return element(
    'interface',
    {},
    MAC.test(mac) ? element('mac', { address: mac }) : undefined,
    element('model', { type: CARDS.has(model) ? model : 'e1000e' }),
    connected ? undefined : element('link', { state: 'down' }),
  );
}
