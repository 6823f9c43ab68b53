import { keyForm, settingsForm } from '../widgets/machine-forms.ts';
import { passwordDialog } from './machine-keys.ts';
import type { Model, Next, ScreenName } from '../state/model.ts';
import { setForm } from '../widgets/set-form.ts';
import { startTask } from '../state/tasks.ts';
import type { Known } from '../state/known.ts';
import type { Call } from '../state/call.ts';

/*
 * How a new machine is set up, step by step. What has been done is seen from the machine itself, and not from what
 * was done here: so it can be left and gone on with at any time, in any order, and any step left out.
 */
export interface Step {
  readonly title: string;
  /** What there is now; undefined: not known. */
  now(model: Model): StepState | undefined;
  open(model: Model): Next;
}

export interface StepState {
  readonly isDone: boolean;
  readonly text: string;
}

/** What Debian, and a factory reset, call a machine. */
const NO_NAMES: readonly string[] = ['', 'localhost', 'debian', 'holdfast'];

export const STEPS: readonly Step[] = [
  setting('Name', 'hostname', ({ hostname }) => ({
    isDone: !NO_NAMES.includes(hostname),
    text: hostname,
  })),
  {
    title: 'Network',
    now: ({ network }) =>
      told(network, ({ interfaces, pending }) => {
        const all = interfaces.flatMap(({ addresses }) => addresses);
        const own = all.filter(({ from }) => from !== 'link').map(({ address }) => address);
        const text = own.join(' ') || 'no address';
        if (pending)
          return { isDone: false, text: `${text}: to be kept with c on the screen Network` };
        return { isDone: own.length > 0, text };
      }),
    open: page('network'),
  },
  setting('Time zone', 'timezone', ({ timezone }) => ({
    isDone: timezone !== 'Etc/UTC' && timezone !== 'UTC',
    text: timezone,
  })),
  setting('Time servers', 'ntp', ({ ntp, isSynchronized }) => ({
    isDone: ntp.length > 0 || isSynchronized,
    text: ntp.join(' ') || (isSynchronized ? 'the clock follows a server' : 'no server answers'),
  })),
  setting('Keyboard', 'keyboard', ({ keyboard }) => ({
    isDone: keyboard !== null,
    text: keyboard ?? 'not chosen',
  })),
  {
    title: 'Administrator',
    now: ({ machine }) =>
      told(machine, ({ hasPassword }) => ({
        isDone: hasPassword === true,
        text: hasPassword === true ? 'has a password' : 'has no password',
      })),
    open: (model) => [{ ...model, dialog: passwordDialog() }, []],
  },
  {
    title: 'SSH keys',
    now: ({ ssh }) =>
      told(ssh, ({ keys }) => ({ isDone: keys.length > 0, text: `${keys.length} let in` })),
    open: (model) => [{ ...model, dialog: keyForm() }, []],
  },
  {
    title: 'Disk for backups',
    now({ disks, facts }) {
      const place = facts.kind === 'known' ? facts.value.store : '';
      return told(disks, (all) => {
        const pool = all.find(({ holds }) =>
          holds.some((it) => it.endsWith(' at /var/lib/holdfast')),
        );
        return {
          isDone: pool !== undefined,
          text: pool ? pool.name : `none: they would be in ${place}`,
        };
      });
    },
    open: page('disks'),
  },
  {
    title: 'Store',
    now: ({ facts }) =>
      told(facts, ({ storeId, store }) => ({
        isDone: storeId !== null,
        text: storeId === null ? 'none yet' : store,
      })),
    open(model) {
      if (model.facts.kind === 'known' && model.facts.value.storeId !== null) {
        return [{ ...model, hint: 'There is a store already.' }, []];
      }
      const call: Call = { name: 'store/create', request: {} };
      return startTask(model, 'store', { call });
    },
  },
  {
    title: 'First backup set',
    now: ({ sets, facts }) => {
      const isBefore = facts.kind === 'known' && facts.value.storeId === null;
      if (isBefore) return { isDone: false, text: 'after the store' };
      return told(sets, (all) => ({
        isDone: all.length > 0,
        text: all.map(({ set }) => set).join(' ') || 'none yet',
      }));
    },
    open: (model) => [{ ...model, dialog: setForm() }, []],
  },
  {
    title: 'Finish',
    now: ({ machine }) =>
      told(machine, ({ isFirstBoot }) => ({
        isDone: !isFirstBoot,
        text: isFirstBoot
          ? 'until then this screen asks for no login'
          : 'this screen asks for a login',
      })),
    open(model) {
      const call: Call = { name: 'host/finish-set-up', request: {} };
      return startTask(model, 'set-up', { call });
    },
  },
];

export function setUpKey(model: Model, key: string): Next {
  const step = STEPS[model.chosen.setUp ?? 0];
  return key === 'enter' && step ? step.open(model) : [model, []];
}

/** A step was done here: with the next one chosen that is not. */
export function stepOn(model: Model): Model {
  if (model.screen !== 'setUp') return model;
  const here = model.chosen.setUp ?? 0;
  const next = STEPS.findIndex((step, at) => at > here && step.now(model)?.isDone !== true);
  return next < 0 ? model : { ...model, chosen: { ...model.chosen, setUp: next } };
}

function setting(
  title: string,
  name: 'hostname' | 'timezone' | 'ntp' | 'keyboard',
  now: (it: Extract<Model['machine'], { kind: 'known' }>['value']) => StepState,
): Step {
  return {
    title,
    now: ({ machine }) => told(machine, now),
    open(model) {
      if (model.machine.kind !== 'known') return [model, []];
      return [{ ...model, dialog: settingsForm(model.machine.value, [name]) }, []];
    },
  };
}

function page(screen: ScreenName): Step['open'] {
  return (model) => [{ ...model, screen }, []];
}

/** A refusal stands where the facts would: never as if nothing were set. */
function told<T>(it: Known<T>, state: (value: T) => StepState): StepState | undefined {
  if (it.kind === 'known') return state(it.value);
  return it.kind === 'refused' ? { isDone: false, text: it.message } : undefined;
}
