import type { Model } from '../state/model.ts';
import { columns, type Line, line } from '../terminal/screen.ts';
import { STEPS } from './set-up.ts';

const WIDTHS = [5, 17];

export function setUpBody(model: Model): readonly Line[] {
  const chosen = model.chosen.setUp ?? 0;
  const width = model.size.columns - 1;
  const states = STEPS.map((step) => step.now(model));
  const done = states.filter((it) => it?.isDone).length;
  return [
    line(` Set-up of this machine: ${done} of ${STEPS.length} steps are done.`, 'strong'),
    line(' Each may be left out, and come back to at any time.'),
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
