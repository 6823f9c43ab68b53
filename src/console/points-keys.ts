import { jobForm } from './job-forms.ts';
import { chosenIn } from './lists.ts';
import type { Model, Next } from './model.ts';
import { runForm } from './run-form.ts';

export function pointsKey(model: Model, key: string): Next {
  if (key === '/') {
    return [{ ...model, dialog: { kind: 'filter', typed: model.points.filter } }, []];
  }
  if (key !== 'enter' && key !== 'r' && key !== 'b') return [model, []];
  const row = chosenIn(model.points);
  if (!row) return [{ ...model, hint: 'No recovery point is chosen.' }, []];
  const dialog = key === 'b' ? jobForm(row) : runForm(`${row.set}/${row.point}`);
  return [{ ...model, dialog }, []];
}
