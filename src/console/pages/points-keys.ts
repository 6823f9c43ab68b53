import { openFiles } from './files.ts';
import { jobForm } from '../widgets/job-forms.ts';
import { chosenIn } from '../state/lists.ts';
import type { Model, Next } from '../state/model.ts';
import { runForm } from '../widgets/run-form.ts';

export function pointsKey(model: Model, key: string): Next {
  if (key === '/') {
    return [{ ...model, dialog: { kind: 'filter', typed: model.points.filter } }, []];
  }
  if (!['enter', 'r', 'b', 'f'].includes(key)) return [model, []];
  const row = chosenIn(model.points);
  if (!row) return [{ ...model, hint: 'No recovery point is chosen.' }, []];
  if (key === 'f') return openFiles(model, `${row.set}/${row.point}`);
  const dialog = key === 'b' ? jobForm(row) : runForm(`${row.set}/${row.point}`);
  return [{ ...model, dialog }, []];
}
