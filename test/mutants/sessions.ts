import type { Mutant } from './mutant.ts';

const SESSION_CRASH = 'test/sessions/finish/crash.test.ts';
const SESSION_FILES = 'test/sessions/state/session-files.test.ts';
const SESSION_STATE = 'test/sessions/state/session-state.test.ts';
const PLAIN_OVERLAYS = 'test/sessions/state/plain-overlays.test.ts';
const DAMAGED_OVERLAY = 'test/sessions/state/damaged-overlay.test.ts';
const SESSION_ORDERS = 'test/engine/sessions/orders.test.ts';
const FORGET_RACE = 'test/sessions/state/forget-race.test.ts';

export const sessions: readonly Mutant[] = [
  {
    name: 'sessions: heads and maps are not removed first',
    file: 'src/sessions/state/session-files.ts',
    text: 'for (const name of [...names.filter(isFirst), ...names.filter((name) => !isFirst(name))]) {',
    to: 'for (const name of [...names.filter((name) => !isFirst(name)), ...names.filter(isFirst)]) {',
    tests: [SESSION_FILES],
  },
  {
    name: 'sessions: one whose machine runs on a hypervisor is discarded under it',
    file: 'src/sessions/state/session-state.ts',
    text: '  if (!isOwn(phase)) {\n    const where',
    to: '  if (false) {\n    const where',
    tests: [SESSION_STATE],
  },
  {
    name: 'sessions: the machine on a hypervisor is not an order',
    file: 'src/engine/sessions/orders.ts',
    text: 'order: { ...order, isSealed, placed } };',
    to: 'order: { ...order, isSealed } };',
    tests: [SESSION_ORDERS],
  },
  {
    name: 'sessions: the journal does not say that a log has begun',
    file: 'src/sessions/state/session-files.ts',
    text: 'if (!sealed || sealed.begun.includes(disk)) return record;',
    to: 'if (record) return record;',
    tests: [PLAIN_OVERLAYS, DAMAGED_OVERLAY],
  },
  {
    name: 'sessions: the journal says that it is sealed before the heads are there',
    file: 'src/sessions/state/session-overlays.ts',
    text: '    await makeHeads(store, session);\n    await store.files.syncDirectory(directory);\n',
    to: '',
    tests: [PLAIN_OVERLAYS],
  },
  {
    name: 'sessions: a file says how its overlay is sealed',
    file: 'src/sessions/state/session-overlays.ts',
    text: 'return { suite: frame ? 2 : 1, overlayKey: overlay } as const;',
    to: 'return { suite: frame ? 1 : 2, overlayKey: overlay } as const;',
    tests: [DAMAGED_OVERLAY],
  },
  {
    name: 'sessions: kept without what lies below a sealed overlay',
    file: 'src/sessions/state/session-overlays.ts',
    text: '      yield* plain?.written() ?? [];\n',
    to: '',
    tests: [PLAIN_OVERLAYS],
  },
  {
    name: 'sessions: the box does not know which are sealed',
    file: 'src/engine/sessions/orders.ts',
    text: 'const isSealed = (sealed && !sealed.overPlain) || undefined;',
    to: 'const isSealed = !sealed && undefined;',
    tests: [SESSION_ORDERS],
  },
  {
    name: 'sessions: the journal is removed with the rest',
    file: 'src/sessions/state/session-files.ts',
    text: 'name !== JOURNAL && name !== LOCK);',
    to: 'name !== LOCK);',
    tests: [SESSION_FILES, SESSION_CRASH],
  },
  {
    name: 'sessions: one behind TLS is resumed without',
    file: 'src/sessions/state/held-session.ts',
    text: 'if (record.tls && !tls) {',
    to: 'if (false) {',
    tests: [SESSION_FILES],
  },
  {
    name: 'sessions: one that is being ended is resumed',
    file: 'src/sessions/state/held-session.ts',
    text: "if (record.phase !== 'preparing' && !isServable(record)) {",
    to: "if (record.phase === 'cleaning') {",
    tests: [SESSION_CRASH, SESSION_FILES],
  },
  {
    name: 'sessions: a lost overlay is replaced by a new one',
    file: 'src/sessions/state/session-overlays.ts',
    text: "if (phase !== 'preparing' && !(await files.stat(join(directory, `${disk.name}.map`)))) {",
    to: 'if (false) {',
    tests: [SESSION_CRASH],
  },
  {
    name: 'sessions: the lease is taken without its turn',
    file: 'src/sessions/state/session-steps.ts',
    text: '  await using _turn = await leaseTurn(store, holder);\n',
    to: '',
    tests: [FORGET_RACE],
  },
  {
    name: 'sessions: one is made of a point that was just forgotten',
    file: 'src/sessions/state/session-steps.ts',
    text: 'if (!(await isPublished(store, { set, id: point }))) {',
    to: 'if (false) {',
    tests: [FORGET_RACE],
  },
  {
    name: 'sessions: the journal is written after the step',
    file: 'src/sessions/state/session-executor.ts',
    text: 'if (after && after !== current) await writeJournal(store, after);',
    to: "if (after && after !== current && event.kind === 'done') await writeJournal(store, after);",
    tests: [SESSION_CRASH],
  },
  {
    name: 'sessions: asked twice to keep, it becomes two points',
    file: 'src/sessions/state/session-state.ts',
    text: "if (phase === 'keeping') return session;",
    to: "if (phase === 'keeping') return { ...session, keepAs: event.kind === 'keep' ? event.as : undefined };",
    tests: [SESSION_STATE],
  },
  {
    name: 'sessions: what was kept is discarded',
    file: 'src/sessions/state/session-state.ts',
    text: "if (phase !== 'cleaning' || session.keepAs === undefined) {",
    to: 'if (true) {',
    tests: [SESSION_STATE],
  },
  {
    name: 'space: each session has the whole disk',
    file: 'src/store/directory/store.ts',
    text: 'space: sharedSpace({ files, directory }),',
    to: 'get space() { return sharedSpace({ files, directory }); },',
    tests: ['test/sessions/state/full-session.test.ts'],
  },
  {
    name: 'space: what is taken while the file system is asked is free again',
    file: 'src/block/space-guard.ts',
    text: 'space.freeBytes - (taken - before)',
    to: 'space.freeBytes',
    tests: ['test/block/space-guard.test.ts'],
  },
  {
    name: 'space: a guard leaves nothing to others before it has asked how much',
    file: 'src/block/space-guard.ts',
    text: '    if (space.free - kept < bytes || clock.monotonicMs() - lookedAt > LOOK_EVERY_MS) return false;\n',
    to: '    if (space.free - kept < bytes) return false;\n',
    tests: ['test/block/space-guard.test.ts'],
  },
  {
    name: 'listeners: where all addresses cannot be had, none is served any longer',
    file: 'src/sessions/serve/nfs-listeners.ts',
    text: 'for (const it of narrower) await open(listener, it);',
    to: '',
    tests: ['test/sessions/serve/nfs-listeners.test.ts'],
  },
  {
    name: 'points over NFS: a client that may write to a session may write to its points',
    file: 'src/sessions/serve/point-exports.ts',
    text: 'const rule = { ...access, readOnly: true };',
    to: 'const rule = { ...access };',
    tests: ['test/sessions/serve/point-exports.test.ts'],
  },
];
