import type { Model, ScreenName } from '../state/model.ts';
import { type Known, valueOf } from '../state/service.ts';
import { columns, type Line, line } from '../terminal/screen.ts';
import { keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { DISKS } from './disks.ts';
import { MACHINE, passwordDialog, type SettingName, settingsForm } from './host.ts';
import { NETWORK } from './network.ts';
import { SETS, setForm } from './sets.ts';
import { keyForm, SSH } from './ssh.ts';

/*
 * The set-up of a new machine, step by step. The state of each step is read from the machine itself, not remembered:
 * the set-up can be left and continued at any time, in any order, and each step can be skipped.
 */
interface Step {
  readonly title: string;
  /** The present state; undefined: not known. */
  now(model: Model): StepState | undefined;
  open(model: Model): Outcome;
}

interface StepState {
  readonly isDone: boolean;
  readonly text: string;
}

/** Names that Debian, and a factory reset, give a machine. */
const NO_NAMES: readonly string[] = ['', 'localhost', 'debian', 'holdfast'];

const STEPS: readonly Step[] = [
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
          return { isDone: false, text: `${text}: press c on the page Network to keep it` };
        return { isDone: own.length > 0, text };
      }),
    open: turnTo('network'),
  },
  setting('Time zone', 'timezone', ({ timezone }) => ({
    isDone: timezone !== 'Etc/UTC' && timezone !== 'UTC',
    text: timezone,
  })),
  setting('Time servers', 'ntp', ({ ntp, isSynchronized }) => ({
    isDone: ntp.length > 0 || isSynchronized,
    text: ntp.join(' ') || (isSynchronized ? 'the clock is synchronized' : 'no server answers'),
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
    open: passwordDialog,
  },
  {
    title: 'SSH keys',
    now: ({ ssh }) =>
      told(ssh, ({ keys }) => ({ isDone: keys.length > 0, text: `${keys.length} may log in` })),
    open: keyForm,
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
          text: pool ? pool.name : `none: backups would be in ${place}`,
        };
      });
    },
    open: turnTo('disks'),
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
        return 'There is a store already.';
      }
      return { title: 'store', call: { name: 'store/create', request: {} } };
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
    open: setForm,
  },
  {
    title: 'Finish',
    now: ({ machine }) =>
      told(machine, ({ isFirstBoot }) => ({
        isDone: !isFirstBoot,
        text: isFirstBoot
          ? 'until then, this screen does not ask for a login'
          : 'this screen asks for a login',
      })),
    open: () => ({ title: 'set-up', call: { name: 'host/finish-set-up', request: {} } }),
  },
];

const WIDTHS = [5, 17];
const onStep = keysFor(({ chosen }) => STEPS[chosen.setUp ?? 0]);

export const setUpPage: Page = {
  title: 'Set-up',
  keys: [onStep('enter', 'do this step', (step, model) => step.open(model))],
  queries: [MACHINE, NETWORK, SSH, DISKS, SETS],
  list: { kind: 'rows', ids: () => STEPS.map(({ title }) => title) },
  body: setUpBody,
};

function setUpBody(model: Model): readonly Line[] {
  const chosen = model.chosen.setUp ?? 0;
  const width = model.size.columns - 1;
  const states = STEPS.map((step) => step.now(model));
  const done = states.filter((it) => it?.isDone).length;
  return [
    line(` Set-up of this host: ${done} of ${STEPS.length} steps are done.`, 'strong'),
    line(' Each step can be skipped (Down), and done at any time.'),
    [],
    ...STEPS.map(({ title }, at): Line => {
      const state = states[at];
      const mark = state === undefined ? '...' : state.isDone ? 'done' : '-';
      const text = columns([mark, title, state?.text ?? 'asking ...'], WIDTHS);
      const here = at === chosen;
      return line(`${here ? '>' : ' '}${text}`.slice(0, width), here ? 'bar' : 'plain');
    }),
  ];
}

/** After a step was done here: chooses the next one that is not done. */
export function stepOn(model: Model): Model {
  if (model.screen !== 'setUp') return model;
  const here = model.chosen.setUp ?? 0;
  const next = STEPS.findIndex((step, at) => at > here && step.now(model)?.isDone !== true);
  return next < 0 ? model : { ...model, chosen: { ...model.chosen, setUp: next } };
}

function setting(
  title: string,
  name: SettingName,
  now: (it: Extract<Model['machine'], { kind: 'known' }>['value']) => StepState,
): Step {
  return {
    title,
    now: ({ machine }) => told(machine, now),
    open(model) {
      const now = valueOf(model.machine);
      return now ? settingsForm(now, [name]) : '';
    },
  };
}

function turnTo(screen: ScreenName): Step['open'] {
  return (model) => [{ ...model, screen }, []];
}

/** A refusal is shown in place of the facts: never as if nothing were set. */
function told<T>(it: Known<T>, state: (value: T) => StepState): StepState | undefined {
  if (it.kind === 'known') return state(it.value);
  return it.kind === 'refused' ? { isDone: false, text: it.message } : undefined;
}
