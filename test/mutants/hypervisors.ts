import type { Mutant } from './mutant.ts';

/*
 * A driver that breaks a promise must fail the conformance suite: shown of the fake, which passes it otherwise. So the
 * suite is as strict as it reads, for each driver.
 */

const BACKUP = 'test/support/fake-hypervisor/backup.ts';
const HOST = 'test/support/fake-hypervisor/host.ts';

export const hypervisors: readonly Mutant[] = [
  changed('changes are counted from the newest checkpoint', {
    file: HOST,
    text: 'const token = machine.tokens.get(since);',
    to: 'const token = [...machine.tokens.values()].at(-1);',
  }),
  changed('only the first part of the changes is read', {
    file: BACKUP,
    text: 'if (part.ranges.length < RANGES_MAX) return',
    to: 'return',
  }),
  changed('accept removes nothing', {
    file: BACKUP,
    text: 'if (old?.startsWith(markOf(link)) !== true) return;',
    to: 'if (old !== "") return;',
  }),
  changed('the old checkpoint goes before the point is published', {
    file: BACKUP,
    text: '    const disks: SnapshotDisk[] = [];\n    for',
    to: '    const disks: SnapshotDisk[] = [];\n    if (since) removeToken(link.host, id, tokenOf(since)!);\n    for',
  }),
  changed('a point whose acceptance failed loses its checkpoint', {
    file: BACKUP,
    text: '      isAccepted = true;\n      const old',
    to: '      await link.wire.call("", () => {});\n      isAccepted = true;\n      const old',
  }),
  changed('tidy removes checkpoints of others', {
    file: BACKUP,
    text: 'if (!token.startsWith(mark) || kept.has(token)) continue;',
    to: 'if (kept.has(token)) continue;',
  }),
  changed('tidy removes checkpoints that points need', {
    file: BACKUP,
    text: 'if (!token.startsWith(mark) || kept.has(token)) continue;',
    to: 'if (!token.startsWith(mark)) continue;',
  }),
  changed('tidy ends jobs of others', {
    file: BACKUP,
    text: 'if (job?.startsWith(mark) === true) {',
    to: 'if (job !== undefined) {',
  }),
  changed('tidy leaves a guest frozen', {
    file: BACKUP,
    text: 'if (found.frozenBy === mark) {',
    to: 'if (false) {',
  }),
  changed('a guest whose thawing fails once stays frozen', {
    file: BACKUP,
    text: 'await ask().catch(ask);',
    to: 'await ask();',
  }),
  changed('a guest is thawed only if all went well', {
    file: BACKUP,
    text: 'if (mayBeFrozen) {',
    to: 'if (mayBeFrozen && isDone) {',
  }),
  changed('disks are read as they are, not as they were', {
    file: 'test/support/fake-hypervisor/host-disk.ts',
    text: 'if (isBroken || saved.has(page)) return;',
    to: 'if (page >= 0) return;',
  }),
  changed('a snapshot that is disposed of leaves its job', {
    file: BACKUP,
    text: 'const failures = await undo(running, { keepToken: isAccepted });',
    to: 'const failures: readonly string[] = [];',
  }),
  changed('an attempt that failed leaves its job and checkpoint', {
    file: BACKUP,
    text: '    await undo(running);\n',
    to: '',
  }),
  changed('a backup that finds another one ends it', {
    file: BACKUP,
    text: 'if (found.job !== undefined) {',
    to: 'if (found.job !== undefined) {\n    endJob(link.host, id, found.job);',
  }),
  changed('less consistency than is accepted', {
    file: BACKUP,
    text: 'if (why !== undefined && !wish.fallBack) {',
    to: 'if (false) {',
  }),
  changed('changes that the host cannot count are none', {
    file: BACKUP,
    text: 'if (changed instanceof HypervisorError) return { lost: changed.message, ...of };',
    to: 'if (changed instanceof HypervisorError) return { ranges: [], ...of };',
  }),
  changed('what was read counts also after the backup has ended in the middle', {
    file: BACKUP,
    text: 'if (job === running.name) return;',
    to: 'if (job !== "") return;',
  }),
  changed('what was read counts also of a host that has gone', {
    file: BACKUP,
    text: "const job = await link.wire.call('confirm', () => machineOf(link.host, id).job?.name);",
    to: 'const job = machineOf(link.host, id).job?.name;',
  }),
  changed('a machine with internal snapshots is tracked', {
    file: BACKUP,
    text: 'const token = found.snapshots > 0 ? undefined : running.name;',
    to: 'const token = running.name;',
  }),
  changed('a disk that is left out is not described', {
    file: BACKUP,
    text: "excluded: { reason: 'chosen' as const, detail: 'left out on request' }",
    to: "excluded: { reason: 'removable' as const, detail: 'left out on request' }",
  }),
  changed('a wished disk that is missing is passed over', {
    file: BACKUP,
    text: 'if (known.has(name)) continue;',
    to: 'if (known.size > 0) continue;',
  }),
  changed('two stores share one mark', {
    file: 'test/support/fake-hypervisor/describe.ts',
    text: '`holdfast-${options.owner}-`',
    to: '`holdfast-${options.name}-`',
  }),
  changed('only the first part of a list is read', {
    file: 'test/support/fake-hypervisor/client.ts',
    text: 'all.push(...part);\n',
    to: 'all.push(...part);\n    break;\n',
  }),
  {
    name: 'guest file: what the agent has open stays open when a write fails',
    file: 'src/hypervisors/guest/agent.ts',
    text: "    await agent.ask('guest-file-close', { handle }, undefined).catch(() => {});\n",
    to: '',
    tests: ['test/hypervisors/guest/put-file.test.ts'],
  },
  {
    name: 'guest file: its contents come before its rights',
    file: 'src/hypervisors/guest/put-file.ts',
    text: "    await succeed(agent, ['chmod', '600', temporary], signal);\n",
    to: '',
    tests: ['test/hypervisors/guest/put-file.test.ts'],
  },
  {
    name: 'guest file: what was read back may be shorter',
    file: 'src/hypervisors/guest/put-file.ts',
    text: '    if (at !== bytes.length) throw differs(at);\n',
    to: '',
    tests: ['test/hypervisors/guest/put-file.test.ts'],
  },
  {
    name: 'guest file: one that appeared in the meantime is replaced',
    file: 'src/hypervisors/guest/put-file.ts',
    text: "await runInGuest(agent, ['ln', temporary, path], signal)",
    to: "await runInGuest(agent, ['mv', '-f', temporary, path], signal)",
    tests: ['test/hypervisors/guest/put-file.test.ts'],
  },
];

function changed(
  promise: string,
  { file, text, to }: Pick<Mutant, 'file' | 'text' | 'to'>,
): Mutant {
  const tests = ['test/hypervisors/fake.test.ts'];
  return { name: `hypervisors: ${promise}`, file, text, to, tests };
}
