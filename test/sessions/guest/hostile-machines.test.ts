import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { test } from 'tap';
import { decodeMachine, encodeMachine } from '../../../src/formats/store/catalog/machine.ts';
import type { SessionRecord } from '../../../src/formats/store/sessions/session.ts';
import { all, first, parseXml, type XmlElement } from '../../../src/hypervisors/base/xml.ts';
import { utf8 } from '../../../src/lib/bytes.ts';
import { shellWords } from '../../../src/lib/shell-words.ts';
import { escapedXml, qemuArguments } from '../../../src/sessions/guest/guest-config.ts';
import { libvirtDomain } from '../../../src/sessions/guest/libvirt-domain.ts';
import { machineFiles } from '../../../src/sessions/guest/machine-files.ts';
import { cardModel, macOf } from '../../../src/sessions/guest/network-cards.ts';
import { proxmoxCommands } from '../../../src/sessions/guest/proxmox.ts';
import { vmx } from '../../../src/sessions/guest/vmx.ts';
import { anyMachine, anyText } from '../../support/any-machine.ts';
import { HOSTILE_TEXTS } from '../../support/hostile-texts.ts';
import { MACHINE } from '../../support/machine-description.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const directory = temporaryDirectory();
const DISKS = ['vda', 'sda', '0disk'] as const;

function sessionOf(...disks: readonly string[]): SessionRecord {
  const session = { id: 'web1-3f9c2a', set: 'nightly', machine: 'web1', point: 'web1-1' };
  return {
    ...session,
    disks: disks.map((name) => ({ name, size: 2 ** 20 })),
  } as unknown as SessionRecord;
}

const machine = anyMachine(...DISKS);

test('any machine says after decoding what it said before, also with fields of a later release', async () => {
  const later = fc.dictionary(fc.constantFrom('later', 'x', '__proto__'), fc.jsonValue());
  fc.assert(
    fc.property(machine, later, (it, more) => {
      // Nothing is cut off.
      const short = JSON.parse(
        JSON.stringify(it, (_, value: unknown) =>
          typeof value === 'string' ? value.slice(0, 600) : value,
        ),
      ) as typeof it;
      deepEqual(decodeMachine(encodeMachine(short)), short);
      deepEqual(decodeMachine(encodeMachine({ ...short, ...more })), short);
    }),
  );
});

/** The elements of a document, with their names only. */
function* namesIn({ name, children }: XmlElement): Generator<string> {
  yield name;
  for (const child of children) if (typeof child !== 'string') yield* namesIn(child);
}

const ELEMENTS = new Set([
  'uuid',
  ...[
    'domain',
    'name',
    'memory',
    'vcpu',
    'cpu',
    'topology',
    'os',
    'type',
    'firmware',
    'feature',
    'nvram',
  ],
  ...[
    'features',
    'acpi',
    'apic',
    'smm',
    'clock',
    'devices',
    'controller',
    'disk',
    'driver',
    'source',
  ],
  ...[
    'target',
    'boot',
    'blockio',
    'interface',
    'mac',
    'model',
    'link',
    'tpm',
    'backend',
    'graphics',
  ],
  ...['video', 'serial', 'wwn', 'console'],
]);

test('no text of a machine adds anything to the domain that is made of it, or makes it unreadable', async () => {
  fc.assert(
    fc.property(machine, fc.boolean(), (it, hasState) => {
      const tpmState = hasState ? 'web1_TPM.permall' : undefined;
      const options = { machine: it, variables: 'web1_VARS.fd', tpmState };
      // As the file has it.
      const text = Buffer.from(utf8(libvirtDomain(sessionOf(...DISKS), options))).toString();
      const domain = parseXml(text, 'domain');
      for (const name of namesIn(domain)) ok(ELEMENTS.has(name), name);
      const devices = first(domain, 'devices');
      equal(all(devices, 'disk').length, DISKS.length);
      equal(all(devices, 'interface').length, it.nics.length);
      for (const nic of all(devices, 'interface')) {
        equal(first(nic, 'link')?.attributes['state'], 'down');
      }
      equal(all(domain, 'uuid').length, it.tpm && hasState ? 1 : 0);
    }),
    { numRuns: 300 },
  );
});

test('a text that XML can hold is read back from an attribute as it was, another without its bad signs', async () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const xml = `<a b='${escapedXml(text)}'>${escapedXml(text)}</a>`;
      const { attributes, children } = parseXml(Buffer.from(utf8(xml)).toString(), 'a');
      const held = text.replace(
        /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu,
        '\uFFFD',
      );
      equal(attributes['b'], held);
      equal(children.filter((it) => typeof it === 'string').join(''), held);
    }),
  );
});

const VMX_KEY = new RegExp(
  [
    '^\\.encoding$|^(config|virtualHW)\\.version$|^(displayName|annotation|guestOS|memSize|numvcpus)$',
    '^(uuid\\.action|firmware|uefi\\.secureBoot\\.enabled|cpuid\\.coresPerSocket)$',
    '^(scsi|sata|nvme|ethernet)\\d+(:\\d+)?\\.\\w+$',
  ].join('|'),
);

test('a .vmx has one line for each value, whatever the texts of the machine are', async () => {
  fc.assert(
    fc.property(machine, (it) => {
      const lines = vmx(sessionOf(...DISKS), it)
        .trimEnd()
        .split('\n');
      const keys = lines.map((line) => {
        const [, key] = /^([A-Za-z][\w.:]*|\.encoding) = "[^"\r\n\0]*"$/.exec(line) ?? [];
        return key ?? `no key: ${line}`;
      });
      equal(new Set(keys).size, keys.length);
      for (const key of keys) match(key, VMX_KEY);
      for (const key of lines.filter((line) => line.includes('startConnected')))
        match(key, /"FALSE"$/);
    }),
    { numRuns: 300 },
  );
});

test('commands for Proxmox VE are plain words, whatever the texts of the machine are', async () => {
  fc.assert(
    fc.property(machine, (it) => {
      for (const line of proxmoxCommands(sessionOf(...DISKS), it)) {
        match(line, /^[\w#:.,/=@%+ -]+$/);
        for (const tag of line.matchAll(/tag=(\d+)/g))
          ok(Number(tag[1]) >= 1 && Number(tag[1]) <= 4094);
      }
    }),
  );
});

test('a shell reads each word as it was', { skip: without('sh') }, async () => {
  const words = HOSTILE_TEXTS.filter((it) => it.length < 5000 && !it.includes('\0')).map((it) =>
    it.toWellFormed(),
  );
  const file = join(directory, 'words.sh');
  writeFileSync(file, `printf '%s\\0' ${shellWords(words)}\n`);
  deepEqual((await program('sh', file)).split('\0').slice(0, -1), words);
});

test('a card has an address that hypervisors take, or none, and a model that they have', async () => {
  const nic = (mac: string, model = '') => ({ ...MACHINE.nics[0]!, mac, model });
  equal(macOf(nic('52:54:00:AB:cd:56')), '52:54:00:ab:cd:56');
  for (const mac of ['', '01:00:5e:00:00:01', '00:00:00:00:00:00', '52:54:00:12:34:56\n', "52'"]) {
    equal(macOf(nic(mac)), undefined);
  }
  const models = (model: string) =>
    (['libvirt', 'proxmox', 'vmware'] as const).map((on) => cardModel(nic('', model), on));
  deepEqual(models('ne2k_pci'), ['ne2k_pci', 'e1000e', 'e1000e']);
  deepEqual(models('vmxnet2'), ['e1000e', 'e1000e', 'vmxnet2']);
  deepEqual(models('toString'), ['e1000e', 'e1000e', 'e1000e']);
  ok(
    !vmx(sessionOf('vda'), { ...MACHINE, nics: [nic('01:00:5e:00:00:01')] }).includes('.address ='),
  );
});

test('disks whose names are also those of files of others have files of their own', async () => {
  const { disks, files } = machineFiles(sessionOf('a', 'a-flat', 'a-flat-flat'));
  const names = [...disks.flatMap((it) => [...it.names]), ...files.map(({ name }) => name)];
  equal(new Set(names).size, names.length);
  deepEqual([...disks[0]!.names], ['a.raw', 'a-flat_.vmdk']);
  match(Buffer.from(files[0]!.contents).toString(), /VMFS "a-flat_\.vmdk"/);
});

test('a disk whose name QEMU does not take for a node has another there, and its export keeps the name', async () => {
  const disks = ['0disk', 'x'.repeat(32), 'vda', 'disk1'].map((disk) => ({
    ...{ disk, address: { kind: 'unix', path: '/x' } as const, tls: undefined },
  }));
  const nodes = qemuArguments(disks).flatMap((it) =>
    it.startsWith('{') ? [JSON.parse(it) as Record<string, string>] : [],
  );
  deepEqual(
    nodes.map((it) => [it['export'], it['node-name']]),
    [
      ['0disk', 'disk0'],
      ['x'.repeat(32), 'disk1_'],
      ['vda', 'vda'],
      ['disk1', 'disk1'],
    ],
  );
});
