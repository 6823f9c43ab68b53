import type { Mutant } from './mutant.ts';

const EVERY_CASE = 'test/sessions/placed/placed-session.test.ts';
const WAITING = 'test/sessions/placed/waiting.test.ts';
const OFFLINE = 'test/sessions/placed/offline.test.ts';
const STRANGERS = 'test/sessions/placed/stranger.test.ts';
const TURNS = 'test/sessions/placed/run-turn.test.ts';
const DEBTS = 'test/sessions/placed/debts.test.ts';
const KILLED = 'test/engine/sessions/killed-runs.test.ts';
const GIVEN_UP = 'test/engine/sessions/given-up.test.ts';
const THERE = 'test/engine/sessions/writes-there.test.ts';
const SERVICE = 'test/engine/sessions/placed-sessions.test.ts';

export const placedSessions: readonly Mutant[] = [
  {
    name: 'placed sessions: overlays go before the machine does',
    file: 'src/sessions/placed/placed-state.ts',
    text: "  discard: { to: 'withdrawing', goal: 'discard' },",
    to: "  discard: { to: 'cleaning', goal: 'discard' },",
    tests: [EVERY_CASE],
  },
  {
    name: 'placed sessions: a machine that has begun to move is withdrawn',
    file: 'src/sessions/placed/placed-look.ts',
    text: "return usesOurs && places.includes('target') ? 'partly' : 'ours';",
    to: "return 'ours';",
    tests: [EVERY_CASE],
  },
  {
    name: 'placed sessions: the old machine keeps the name that it was given',
    file: 'src/sessions/placed/withdraw-step.ts',
    text: '(aside) => driver.putBack(aside, id, signal)',
    to: '(aside) => driver.leaveAside(aside, id, signal)',
    tests: [EVERY_CASE],
  },
  {
    name: 'placed sessions: files of a machine that was never defined stay',
    file: 'src/sessions/placed/withdraw-step.ts',
    text: '  await removeFiles(context);\n',
    to: '',
    tests: [WAITING],
  },
  {
    name: 'placed sessions: one that is given up leaves no debt',
    file: 'src/sessions/placed/placed-requests.ts',
    text: '  await own.owe({ session, hypervisor, since, machine, uuid: plan.uuid, aside, hasMoved });\n',
    to: '',
    tests: [EVERY_CASE, DEBTS],
  },
  {
    name: 'placed sessions: a copy that ends again and again is begun for ever',
    file: 'src/sessions/placed/placed-steps.ts',
    text: 'if (lostCopies < LOST_COPIES_MAX) {',
    to: 'if (lostCopies < 900) {',
    tests: [WAITING],
  },
  {
    name: 'placed sessions: while its disks are written, a machine that a person starts can write, too',
    file: 'src/sessions/placed/offline-steps.ts',
    text: '    if (!(await isFenced(context))) return HELD;\n    // What it has waited for',
    to: '    // What it has waited for',
    tests: [OFFLINE],
  },
  {
    name: 'placed sessions: what was begun to be written is taken for a disk',
    file: 'src/sessions/placed/placed-steps.ts',
    text: '    await driver.release(plan.session, signal);\n  }\n  const reserved',
    to: '  }\n  const reserved',
    tests: [OFFLINE],
  },
  {
    name: 'placed sessions: what a person has to decide is tried again and again',
    file: 'src/sessions/placed/placed-session.ts',
    text: "const isStuck = waits?.reason === 'person' && phase !== 'running';",
    to: 'const isStuck = (phase as string) === "";',
    tests: [WAITING],
  },
  {
    name: 'placed sessions: a machine with the same UUID on other disks is taken for one that has moved',
    file: 'src/sessions/placed/placed-state.ts',
    text: 'if (cell === STRANGER && isForward)',
    to: 'if (cell === STRANGER)',
    tests: [STRANGERS],
  },
  {
    name: 'placed sessions: a machine whose session waits for a person is not looked after',
    file: 'src/sessions/placed/host-step.ts',
    text: '  if (isOurs) await isWoken(',
    to: '  if (!look) await isWoken(',
    tests: [WAITING],
  },
  {
    name: 'placed sessions: once a machine has moved and its session is over, those after it do not start',
    file: 'src/sessions/placed/host-step.ts',
    text: 'from: known.from ?? ranFrom(known, before)',
    to: 'from: known.from',
    tests: [TURNS],
  },
  {
    name: 'placed sessions: a machine that stopped for its disks stays stopped',
    file: 'src/sessions/placed/placed-steps.ts',
    text: "look.power !== 'paused-io') return false;",
    to: 'true) return false;',
    tests: [WAITING],
  },
  {
    name: 'placed sessions: what is only on the hypervisor is kept here',
    file: 'src/sessions/placed/placed-state.ts',
    text: "if (event === 'keep' && writes === 'there')",
    to: "if (event === 'keep' && (writes as string) === '')",
    tests: [THERE],
  },
  {
    name: 'placed sessions: a machine without space is resumed all the time',
    file: 'src/sessions/placed/placed-steps.ts',
    text: '    requirePause(world, memory);\n',
    to: '',
    tests: [THERE],
  },
  {
    name: 'placed sessions: the disks on which a guest writes are moved to another pool',
    file: 'src/sessions/placed/placed-requests.ts',
    text: "if (plan.writes === 'there') {",
    to: "if ((plan.writes as string) === '') {",
    tests: [THERE],
  },
  {
    name: 'placed sessions: a machine whose guest writes there is placed without its pool',
    file: 'src/sessions/placed/placed-steps.ts',
    text: "isLater && writes === 'here' ?",
    to: 'isLater ?',
    tests: [THERE],
  },
  {
    name: 'placed sessions: the next disk is never begun',
    file: 'src/sessions/placed/placed-steps.ts',
    text: 'if (!lost && !isNext) return',
    to: 'if (!lost) return',
    tests: [THERE],
  },
  {
    name: 'placed sessions: the end of a session releases the disks on which its machine has moved',
    file: 'src/sessions/placed/placed-steps.ts',
    text: 'if (!hasMoved) await driver.release(id, signal);',
    to: 'await driver.release(id, signal);',
    tests: [DEBTS],
  },
  {
    name: 'placed sessions: a debt forgets that disks may have moved',
    file: 'src/sessions/placed/placed-requests.ts',
    text: 'MOVING.has(record.phase) || ',
    to: '',
    tests: [DEBTS],
  },
  {
    name: 'placed sessions: one that is given up is not collected once the hypervisor is back',
    file: 'src/engine/sessions/placed/owed.ts',
    text: 'if (!isOurs(debtOrder(debt))) continue;',
    to: 'continue;',
    tests: [SERVICE],
  },
  {
    name: 'placed sessions: one that was being ended when the service ended is not ended',
    file: 'src/engine/sessions/placed-sessions.ts',
    text: "return placement !== undefined && (phase === 'keeping' || phase === 'cleaning');",
    to: 'return placement !== undefined && phase === undefined;',
    tests: [SERVICE],
  },
  {
    name: 'placed sessions: each has a connection of its own',
    file: 'src/engine/sessions/placed/connections.ts',
    text: 'if (ready.address === (await addressOf(hypervisor))) return ready;',
    to: '',
    tests: [SERVICE],
  },
  {
    name: 'placed sessions: a changed address is not noticed',
    file: 'src/engine/sessions/placed/connections.ts',
    text: 'if (ready.address === (await addressOf(hypervisor))) return ready;',
    to: 'return ready;',
    tests: [SERVICE],
  },
  {
    name: 'placed sessions: one whose machine needs its disks is stopped',
    file: 'src/engine/sessions/session-supervisor.ts',
    text: '        refusePlaced(record);\n',
    to: '',
    tests: [SERVICE],
  },
  {
    name: 'placed sessions: what a killed run has left is for a person to remove',
    file: 'src/engine/sessions/session-supervisor.ts',
    text: '      await removeLeft(engine, onEvent);\n',
    to: '',
    tests: [KILLED],
  },
  {
    name: 'placed sessions: a planted record has a session removed',
    file: 'src/engine/sessions/left-sessions.ts',
    text: ' || !(await memory.look()).isOurs(sessionOrder(record))',
    to: '',
    tests: [KILLED],
  },
  {
    name: 'placed sessions: a damaged journal owes what a planted record says',
    file: 'src/engine/sessions/placed/lost-machine.ts',
    text: 'if (debt && (await memory.look()).isOurs(lostOrder(debt))) {',
    to: 'if (debt) {',
    tests: [GIVEN_UP],
  },
  {
    name: 'placed sessions: what is left there cannot be dismissed',
    file: 'src/engine/operations/alarms.ts',
    text: '    await sessions.placed.forgive(found.about);\n',
    to: '',
    tests: [GIVEN_UP],
  },
  {
    name: 'placed sessions: a machine that was moved by hand has not run',
    file: 'src/engine/sessions/placed-sessions.ts',
    text: "if (end.how === 'moved') await noteMoved(store, options, record);",
    to: '',
    tests: ['test/engine/sessions/placed-runs.test.ts'],
  },
];
