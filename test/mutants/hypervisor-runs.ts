import type { Mutant } from './mutant.ts';

/* As hypervisors.ts: of the part of the conformance suite that is about running machines. */

const RUN = 'test/support/fake-hypervisor/run.ts';
const RESERVED = 'test/support/fake-hypervisor/reserved.ts';

export const hypervisorRuns: readonly Mutant[] = [
  changed('look sees only the layer on top', {
    text: 'layers.some((source) => host.served.has(source))',
    to: 'host.served.has(layers[0]!)',
  }),
  changed('a machine of another session is taken for ours', {
    text: 'if (seen.session === session) return seen;',
    to: 'if (seen.session !== undefined) return seen;',
  }),
  changed('a machine without our mark is taken for ours', {
    text: 'if (seen.session === session) return seen;',
    to: 'if (seen.session === undefined || seen.session === session) return seen;',
  }),
  changed('a machine that was registered is registered again', {
    text: 'if (found !== undefined) return found;',
    to: 'if (found === "") return found;',
  }),
  changed('disks that were reserved are reserved again', {
    file: RESERVED,
    text: 'if (!found) await',
    to: 'await',
  }),
  changed('reserved disks are removed while they are used', {
    file: RESERVED,
    text: 'it.session === session && !isUsed(host, source)',
    to: 'it.session === session && source !== ""',
  }),
  changed('a machine whose guest writes there is defined on what is served', {
    text: "plan.writes === 'here' ? served :",
    to: 'plan.writes !== undefined ? served :',
  }),
  changed('a disk is taken to be whole while another one is', {
    text: "if (!copy && isPulled && copyFailure === undefined) return { state: 'waiting' };",
    to: "if (!copy && isPulled && copyFailure === undefined) return { state: 'target' };",
  }),
  changed('a settled machine loses its mark before all is done', {
    text: "  await wire.call('keep files',",
    to:
      "  await wire.call('', () => void (machineOf(host, id).session = undefined));\n" +
      "  await wire.call('keep files',",
  }),
  changed('a machine that needs served disks is settled', {
    text: "disks[disk] === 'ours');",
    to: "disks[disk] === 'target' && disk === '');",
  }),
  changed('a machine that has moved is unregistered', {
    text: "disks[disk] !== 'ours');",
    to: "disks[disk] !== 'ours' && disk === '');",
  }),
  changed('unregistering leaves the files that were placed', {
    text: "await wire.call('remove file', () => void host.placedFiles.delete(path), signal);",
    to: 'void path;',
  }),
  changed('some disks go on on their targets before others are ready', {
    text: 'if (waiting.length > 0) {',
    to: 'if (waiting.length > 1) {',
  }),
  changed('a pivot that is repeated fails at the disks that are there', {
    text: "    if (state === 'target') continue;\n",
    to: '',
  }),
  changed('a copy that is under way is begun again', {
    text: "if (disk.isCopied || seen.disks[name] === 'target') continue;",
    to: "if (seen.disks[name] === 'target') continue;",
  }),
  changed('a target of another size is accepted', {
    text: 'if (disk?.size !== size) {',
    to: 'if (!disk) {',
  }),
  changed('why a copy ended is not said', {
    text: "{ state: 'source', failure: copyFailure }",
    to: "{ state: 'source', failure: undefined }",
  }),
  changed('what a machine uses is hidden', {
    text: "if (await wire.call('look for users', isBusy, signal)) {",
    to: "if ((await wire.call('look for users', isBusy, signal)) && false) {",
  }),
  changed('a machine that another session has set aside is set aside', {
    text: '  if (aside && aside.session !== session) {',
    to: '  if (aside && session === "") {',
  }),
];

function changed(
  promise: string,
  { file = RUN, text, to }: Pick<Mutant, 'text' | 'to'> & Partial<Pick<Mutant, 'file'>>,
): Mutant {
  const tests = ['test/hypervisors/fake.test.ts'];
  return { name: `hypervisors run: ${promise}`, file, text, to, tests };
}
