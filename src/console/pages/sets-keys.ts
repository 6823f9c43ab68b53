import { jobForm, scheduleForm } from '../widgets/job-forms.ts';
import { chosenOf } from '../state/lists.ts';
import type { Model, Next } from '../state/model.ts';
import { setForm } from '../widgets/set-form.ts';

export function setsKey(model: Model, key: string): Next {
  if (key === 'n') return [{ ...model, dialog: setForm() }, []];
  const it = chosenOf(model.sets, model.chosen.sets);
  if (!it) return [model, []];
  const { set } = it;
  if (key === 'b') return [{ ...model, dialog: jobForm({ set }) }, []];
  return [key === 's' ? { ...model, dialog: scheduleForm({ set }) } : model, []];
}
