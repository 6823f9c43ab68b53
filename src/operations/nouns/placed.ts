import {
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  withDefault,
} from '../../lib/schema.ts';
import { cards } from '../base/cards.ts';
import { count, line, MANY, point, prose, session, time, word } from '../base/fields.ts';
import { mutation } from '../base/operation.ts';
import { findings, hypervisorName } from './hypervisor.ts';

/* Sessions that have a machine on a managed hypervisor, which runs on the disks that the session serves. */

const DAY_S = 24 * 60 * 60;
/** As long as a session's journal takes it. */
const MIGRATE_AFTER_S = 31 * DAY_S;
const RUN_MAX = 64;

export const stopHow = field(
  optional(oneOf('shutdown', 'off')),
  'how a machine on a hypervisor is stopped: shutdown: its guest is asked; off: it is powered off',
);

const name = line(256);

/** What a run may be asked to be. */
const wish = {
  on: field(hypervisorName, 'name of the hypervisor', {
    ...{ placeholder: 'HYPERVISOR', names: 'hypervisors' },
  }),
  name: field(optional(name), 'name of the machine there; default: its own', {
    placeholder: 'NAME',
  }),
  pool: field(
    optional(name),
    'pool of the hypervisor to which its disks migrate, and in which its guest writes with --writes there; default: ' +
      'where they were',
    { placeholder: 'POOL' },
  ),
  ...cards,
  powerOn: field(withDefault(flag(), false), 'start the machine'),
  writes: field(
    withDefault(oneOf('here', 'there'), 'here'),
    'where what its guest writes is kept: here: on this host; there: in the pool of the hypervisor, on disks that ' +
      'read from this host what they lack; such a session can migrate or be discarded, and cannot be kept',
  ),
  migrate: field(
    withDefault(oneOf('auto', 'heartbeat', 'later', 'none'), 'later'),
    'when its disks migrate to the hypervisor: auto: once it runs; heartbeat: once the agent of its guest answers; ' +
      'later: with "session migrate"; none: it is not planned',
  ),
  migrateAfter: field(
    optional(integer(1, MIGRATE_AFTER_S)),
    'with "auto": how long after it began to run, in seconds; in commands 90s, 5m, 2h',
    { placeholder: 'TIME' },
  ),
  replace: field(
    optional(oneOf('keep', 'delete')),
    'take the place of the old machine, which must be off and is renamed until the session ends; once the new one ' +
      'has migrated: keep: the old one stays, renamed; delete: it is removed, without its disks',
  ),
};

const started = object({
  session: field(word, 'ID of the session'),
  point: field(word, 'the recovery point that it runs'),
  hypervisor: field(word, 'name of the hypervisor'),
  machine: field(word, 'name of the machine there'),
  state: field(word, 'how far it is: placing, running, ...'),
  waits: field(nullable(prose), 'what it waits for; null: nothing'),
});

const run = mutation('session/run', {
  summary: 'Run machines on a hypervisor from recovery points',
  description:
    'Defines each machine on the hypervisor, on disks that this host serves; what its guest writes is kept here, or ' +
    'in a pool of the hypervisor. ' +
    'Several machines start one after the other, in the order of the points; one that does not start stops those ' +
    'after it. Everything is checked first: if a condition is not met, nothing is changed. The session continues in ' +
    'the service, also if the command is interrupted.',
  runs: 'service',
  changes: ['session'],
  key: 'opens',
  passkey: 'asked',
  // That removes a machine.
  lockdown: { refused: { replace: 'delete' } },
  request: object({
    points: field(withDefault(list(point, RUN_MAX), []), 'recovery points', {
      ...{ placeholder: 'POINT', names: 'points' },
    }),
    run: field(
      optional(word),
      'also all recovery points of this run, a backup of several machines: "backup show" has the run of a point',
      { placeholder: 'RUN' },
    ),
    ...wish,
    delay: field(
      optional(integer(0, DAY_S)),
      'of several machines: each starts this long after the one before it began to run, in seconds; in commands 90s, ' +
        '5m, 2h; default: at once',
      { placeholder: 'TIME' },
    ),
    heartbeat: field(
      optional(integer(1, DAY_S)),
      'of several machines: each starts once the guest agent of the one before answers; how long to wait for that, ' +
        'in seconds; in commands 90s, 5m, 2h',
      { placeholder: 'TIME' },
    ),
  }),
  result: object({
    run: field(nullable(word), 'ID that the sessions have in common; null: there is only one'),
    sessions: field(
      list(started, RUN_MAX),
      'the sessions, in the order in which their machines start',
    ),
    findings,
  }),
  cli: {
    args: ['points'],
    options: {
      delay: { form: 'duration' },
      heartbeat: { form: 'duration' },
      networks: { name: 'network', form: 'name=where' },
      migrateAfter: { form: 'duration' },
    },
    notes:
      'To end the session: "session migrate" moves the disks to the hypervisor while the machine runs, "session ' +
      'keep" makes a recovery point of it, "session discard" removes it.',
    examples: [
      'run web1@latest --on kvm1 --power-on',
      'run web1@latest --on kvm1 --name web1-test --isolated --power-on',
      'run web1@latest --on kvm1 --replace keep --power-on --migrate heartbeat',
      'run web1@latest --on kvm1 --power-on --writes there --pool fast',
      'run db1@latest web1@latest --on kvm1 --power-on --heartbeat 5m',
    ],
  },
});

const answerFields = {
  session: field(word, 'ID of the session'),
  state: field(word, 'how far it is'),
  waits: field(nullable(prose), 'what it waits for; null: nothing'),
};
const answer = object(answerFields);
export type PlacedAnswer = Of<typeof answer>;

/** How long a machine is off while its disks move. */
const downtime = object({
  bytes: field(count, 'bytes to write to the hypervisor, and to read back'),
  seconds: field(
    count,
    'how long its machine is off, without the time that its guest takes to shut down',
  ),
  rate: field(count, 'the bytes per second with which this was calculated'),
  measured: field(
    flag(),
    'true: disks were written to the hypervisor at that rate; false: it is assumed',
  ),
  power: field(nullable(word), 'the state of the machine, which has to be off; null: not known'),
});
export type Downtime = Of<typeof downtime>;

const migrate = mutation('session/migrate', {
  summary: "Move the disks of a session's machine to its hypervisor",
  description:
    'The session ends by itself once the hypervisor says that no disk of the machine is served from here any longer. ' +
    'Once a disk has moved, the move can only be completed. The machine runs in the meantime; or, with --offline, it ' +
    'is off: its disks are written to the hypervisor, read back and compared, and then it gets these.',
  runs: 'service',
  changes: ['session'],
  lockdown: 'allowed',
  request: object({
    session,
    pool: field(optional(name), 'pool of the hypervisor; default: the one that was chosen', {
      placeholder: 'POOL',
    }),
    cancel: field(
      withDefault(flag(), false),
      'cancel the migration instead; the machine continues to run, or stays off',
    ),
    offline: field(
      withDefault(flag(), false),
      'move them while the machine is off; without --yes, only say how long that takes',
    ),
    stop: field(
      optional(oneOf('shutdown', 'off')),
      'with --offline, if the machine runs: shutdown: its guest is asked to shut down first; off: it is powered off',
    ),
    start: field(
      withDefault(flag(), false),
      'with --offline: start the machine once its disks have moved, also if it was off before',
    ),
    confirmed: field(
      withDefault(flag(), false),
      'with --offline: begin; the machine is off for that long',
    ),
  }),
  result: object({
    ...answerFields,
    downtime: field(
      nullable(downtime),
      'with --offline: how long the machine is off; null: it moves while it runs, or there is nothing left ' +
        'to confirm',
    ),
  }),
  cli: {
    args: ['session'],
    options: { confirmed: { name: 'yes' } },
    notes:
      'With --offline, a machine that ran is started again once its disks have moved; one that was off stays off, ' +
      'unless --start is given.',
    examples: [
      'session migrate web1-3f9c2a --pool fast',
      'session migrate web1-3f9c2a --offline',
      'session migrate web1-3f9c2a --offline --stop shutdown --yes',
      'session migrate web1-3f9c2a --cancel',
    ],
  },
});

const power = mutation('session/power', {
  summary: "Start or stop a session's machine on its hypervisor",
  description: 'A machine that is off stays part of its session.',
  runs: 'service',
  changes: ['session'],
  lockdown: 'allowed',
  request: object({
    session,
    power: field(
      oneOf('on', 'shutdown', 'off'),
      'on: start it; shutdown: ask its guest to shut down; off: power it off',
      { placeholder: 'on|shutdown|off' },
    ),
  }),
  result: answer,
  cli: { args: ['session', 'power'], examples: ['session power web1-3f9c2a on'] },
});

const retry = mutation('session/retry', {
  summary: 'Let a session that waits for a person try again',
  description:
    'Use it once the cause is gone: "session show" has the cause. The connection to the hypervisor is opened again.',
  runs: 'service',
  changes: ['session'],
  lockdown: 'allowed',
  request: object({ session }),
  result: answer,
  cli: { args: ['session'], examples: ['session retry web1-3f9c2a'] },
});

const abandon = mutation('session/abandon', {
  summary: 'End a session whose hypervisor is lost, and give up its machine there',
  description:
    'Only for a session that waits. What the guest wrote is lost, unless you enter "session keep" first. What is ' +
    'left on the hypervisor is removed once the hypervisor can be reached again.',
  runs: 'service',
  changes: ['session'],
  request: object({
    session,
    name: field(name, 'name of the machine there, to confirm that it is given up', {
      placeholder: 'MACHINE',
    }),
  }),
  result: answer,
  cli: { args: ['session'], examples: ['session abandon web1-3f9c2a --name web1'] },
});

export const operations = [run, migrate, power, retry, abandon] as const;

/** What is shown of a session's machine. */
export const placedMachine = object({
  hypervisor: field(word, 'name of the hypervisor'),
  machine: field(word, 'name of the machine there'),
  id: field(nullable(word), 'the ID that the hypervisor uses for it; null: it is not there yet'),
  goal: field(oneOf('run', 'move', 'keep', 'discard'), 'what the session works towards'),
  power: field(
    nullable(oneOf('on', 'off', 'paused-io', 'paused-space', 'paused', 'suspended', 'unknown')),
    'its state; paused-io: a disk did not answer; paused-space: the hypervisor has no space for what its guest ' +
      'writes; after both the machine is resumed automatically; null: not known',
  ),
  heartbeat: field(nullable(flag()), 'whether the agent of its guest answers; null: not known'),
  pool: field(nullable(word), 'the pool to which it migrates; null: none was chosen'),
  writes: field(
    oneOf('here', 'there'),
    'where what its guest writes is kept: here: on this host; there: in the pool of the hypervisor',
  ),
  run: field(
    nullable(
      object({
        run: field(word, 'ID that its sessions have in common'),
        after: field(nullable(word), 'the session whose machine starts before; null: none'),
      }),
    ),
    'the run of several machines to which it belongs; null: none',
  ),
  disks: field(
    list(
      object({
        disk: field(word, 'name of the disk'),
        place: field(
          nullable(oneOf('ours', 'target', 'elsewhere')),
          'ours: this host serves it; target: it has moved; elsewhere: a person moved it; null: not ' +
            'known',
        ),
        done: field(nullable(count), 'bytes that were copied; null: no copy is under way'),
        total: field(
          nullable(count),
          'bytes to copy, which grow as the guest writes; null: no copy is under way',
        ),
        rate: field(nullable(count), 'bytes copied per second; null: not known'),
      }),
      MANY,
    ),
    'its disks',
  ),
  waits: field(
    nullable(
      object({
        reason: field(
          oneOf('away', 'busy', 'no-space', 'machine-off', 'machine-gone', 'turn', 'person'),
          'away: the hypervisor cannot be reached; turn: another machine of its run starts first; person: a person ' +
            'has to decide',
        ),
        since: time('since when'),
        message: field(prose, 'what happened, and what to do'),
      }),
    ),
    'what it waits for; null: nothing',
  ),
});
export type PlacedMachine = Of<typeof placedMachine>;
