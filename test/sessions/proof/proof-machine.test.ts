import { deepEqual, equal, match, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import {
  memoryFor,
  proofMachine,
  type ProofMachineOptions,
} from '../../../src/sessions/proof/proof-machine.ts';
import { anyMachine } from '../../support/any-machine.ts';
import { MACHINE } from '../../support/machine-description.ts';

const OPTIONS: ProofMachineOptions = {
  ...{
    machine: MACHINE,
    disks: [{ name: 'vda', size: 2 ** 30, sectorSize: 4096 }],
    accelerator: 'tcg',
  },
  ...{ memoryBytes: 2 ** 30, processors: 2, firmware: { kind: 'bios' }, directory: '/run/a,b' },
  ...{ disksAt: '/run/a,b/disks', tpmAt: undefined, forwards: [80, 443] },
};

/** The values of an option. */
function valuesOf(args: readonly string[], option: string): string[] {
  return args.flatMap((it, at) => (it === option ? [args[at + 1]!] : []));
}

test('a machine has the devices of its description', async () => {
  const { args, without } = proofMachine(OPTIONS);
  const devices = valuesOf(args, '-device');
  ok(devices.includes('virtio-scsi-pci,id=scsi'));
  ok(
    devices.includes(
      'scsi-hd,bus=scsi.0,scsi-id=0,drive=disk0,bootindex=1,serial=S1,wwn=0x5000c50015ea71ac,' +
        'logical_block_size=4096,physical_block_size=4096',
    ),
    devices.join('\n'),
  );
  ok(
    devices.some((it) => it.startsWith('virtio-net-pci,') && it.endsWith('mac=52:54:00:12:34:56')),
  );
  ok(devices.some((it) => it.startsWith('e1000e,')));
  deepEqual(valuesOf(args, '-machine'), ['q35,accel=tcg']);
  deepEqual(valuesOf(args, '-uuid'), [MACHINE.ids.smbiosUuid]);
  deepEqual(without, []);
});

test('a TPM is of the version that is described', async () => {
  const devices = (version: '1.2' | '2.0') => {
    const machine = { ...MACHINE, tpm: { version } };
    return valuesOf(proofMachine({ ...OPTIONS, machine, tpmAt: '/run/tpm' }).args, '-device');
  };
  ok(devices('2.0').includes('tpm-crb,tpmdev=tpm0'));
  ok(devices('1.2').includes('tpm-tis,tpmdev=tpm0'));
});

test('a path with a comma stays one value', async () => {
  const { args } = proofMachine(OPTIONS);
  ok(valuesOf(args, '-chardev').every((it) => it.includes('path=/run/a,,b/')));
});

test('four IDE disks have the controller, the fifth is a SATA disk', async () => {
  const names = ['hda', 'hdb', 'hdc', 'hdd', 'hde'];
  const described = names.map((name) => ({
    ...{ name, bus: 'ide' as const, sectorBytes: 512 as const },
    ...{ serial: `S ${name}`, wwn: '0x5000c50015ea71ac' },
  }));
  const disks = names.map((name) => ({ name, size: 2 ** 20 }));
  const machine = {
    ...{ ...MACHINE, machineType: 'pc-i440fx-7.2' },
    ...{ disks: described, boot: ['disk:hdb'] },
  };
  const { args } = proofMachine({ ...OPTIONS, machine, disks });
  const devices = valuesOf(args, '-device').filter((it) => it.startsWith('ide-hd'));
  // Guests that mount by these do not start without.
  for (const it of devices) match(it, /,serial=S hd[a-e],wwn=0x5000c50015ea71ac$/);
  deepEqual(
    devices.map((it) => it.replace(/,drive.*bootindex=(\d).*/, ' $1')),
    [
      'ide-hd,bus=ide.0,unit=0 2',
      'ide-hd,bus=ide.0,unit=1 1',
      'ide-hd,bus=ide.1,unit=0 3',
      'ide-hd,bus=ide.1,unit=1 4',
      'ide-hd,bus=ahci0.0 5',
    ],
  );
});

const NAMES = ['vda', "sd'a", 'x,y', '0disk'];

test('whatever a description says, the machine is alone, and nothing of it becomes an option', async () => {
  const filter = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';
  const options = new Set(
    '-name -nodefaults -no-user-config -S -sandbox -machine -cpu -smp -m -rtc -uuid -action -display -vga -device'
      .split(' ')
      .concat('-chardev -mon -blockdev -netdev'.split(' ')),
  );
  fc.assert(
    fc.property(anyMachine(...NAMES), (machine) => {
      const disks = NAMES.map((name) => ({ name, size: 2 ** 20 }));
      const { args } = proofMachine({ ...OPTIONS, machine, disks });
      deepEqual(valuesOf(args, '-sandbox'), [filter]);
      let at = 0;
      while (at < args.length) {
        ok(options.has(args[at]!), args[at]);
        at += ['-nodefaults', '-no-user-config', '-S'].includes(args[at]!) ? 1 : 2;
      }
      for (const net of valuesOf(args, '-netdev')) {
        ok(/^user,id=net\d,restrict=on(,hostfwd=tcp:127\.0\.0\.1:0-:\d+)*$/.test(net), net);
      }
      for (const device of valuesOf(args, '-device')) ok(/^[\w.:,=+ -]+$/.test(device), device);
      equal(valuesOf(args, '-blockdev').length, NAMES.length);
    }),
  );
});

test('memory is as described, within what a boot needs', async () => {
  equal(memoryFor(MACHINE), 2 * 2 ** 30);
  equal(memoryFor(undefined), 2 ** 30);
  equal(memoryFor({ ...MACHINE, memory: { bytes: 1 } }), 128 * 2 ** 20);
});
