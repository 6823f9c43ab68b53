import type { Mutant } from './mutant.ts';

const EACH_CALL = 'test/engine/restores/restores.test.ts';
const LEFT = 'test/engine/restores/left-restores.test.ts';
const IMAGE = 'test/formats/image/qcow2-image.test.ts';
const STREAMS = 'test/hypervisors/libvirt/streams.test.ts';

/** Machines and disks that go back to hypervisors. */
export const restores: readonly Mutant[] = [
  {
    name: 'restores: what a dead one has left stays',
    file: 'src/engine/restores/left-restores.ts',
    text: '  await restore.withdraw({ session, uuid: machine === undefined ? undefined : uuid }, signal);\n',
    to: '',
    tests: [LEFT, EACH_CALL],
  },
  {
    name: 'restores: the machine whose place it was to take keeps its other name',
    file: 'src/engine/restores/left-restores.ts',
    text: 'run.putBack(id, session, signal)',
    to: 'run.leaveAside(id, session, signal)',
    tests: [LEFT, EACH_CALL],
  },
  {
    name: "restores: another's machine with that UUID is taken for ours",
    file: 'src/engine/restores/left-restores.ts',
    text: "({ source = '' }) => disks.includes(source)",
    to: '() => disks.length > 0',
    tests: [LEFT],
  },
  {
    name: 'restores: one that failed leaves what it has made',
    file: 'src/engine/restores/restore-run.ts',
    text: '        await clear(held, record, running);\n',
    to: '',
    tests: [EACH_CALL],
  },
  {
    name: 'restores: half an image has a header',
    file: 'src/formats/image/qcow2-image.ts',
    text: 'parts: [...parts, ...counts.parts], header }',
    to: 'parts: [header(claimMax), ...parts, ...counts.parts], header }',
    tests: [IMAGE],
  },
  {
    name: 'libvirt: what is streamed before the reply is lost',
    file: 'src/hypervisors/libvirt/streams.ts',
    text: 'if (of && of.length < EARLY_MAX)',
    to: 'if (of && of.length < 0)',
    tests: [STREAMS],
  },
];
