import type { FormDialog, FormField } from '../state/dialog.ts';
import { type Model, type Next, withDialog } from '../state/model.ts';
import { startTask } from '../state/tasks.ts';
import { fitted, type Line, line, wrapped } from '../terminal/screen.ts';
import { type DialogKind, key, type PageKey } from './page.ts';
import { edited, escape, textWidth } from './typed.ts';

/* A dialog of several questions. */

export const formKind: DialogKind<FormDialog> = {
  keys(it) {
    const fields = fieldsOf(it);
    const { name, choices } = fields[it.field]!;
    const move = key(['up', 'down', 'tab'], 'field', (_model, pressed) => {
      const by = pressed === 'up' ? fields.length - 1 : 1;
      return { ...it, field: (it.field + by) % fields.length };
    });
    const choose = (of: readonly string[]): PageKey =>
      key(['left', 'right', 'space'], 'change', (_model, pressed) => {
        const by = pressed === 'left' ? of.length - 1 : 1;
        const value = of[(of.indexOf(it.values[name]!) + by) % of.length]!;
        return withValue(it, name, value);
      });
    return [
      move,
      ...(choices ? [choose(choices)] : []),
      key('enter', it.form.does, (model) => submitted(it, model)),
      escape('back'),
    ];
  },
  typed(it, model, key) {
    const { name, choices } = fieldsOf(it)[it.field]!;
    return withDialog(model, choices ? it : withValue(it, name, edited(it.values[name]!, key)));
  },
  body: formBody,
};

function withValue(it: FormDialog, name: string, value: string): FormDialog {
  return { ...it, values: { ...it.values, [name]: value } };
}

/** The fields that are asked for, given the values of the others. */
function fieldsOf({ form, values }: FormDialog): readonly FormField[] {
  return form.fields.filter(({ matters }) => matters?.(values) ?? true);
}

function submitted(it: FormDialog, model: Model): Next {
  const asked = it.form.submit(it.values);
  if (typeof asked === 'string') return withDialog(model, { ...it, problem: asked });
  if ('kind' in asked) return withDialog(model, asked);
  return startTask(model, { ...asked, form: { ...it, problem: '' } });
}

const NOTE_ROWS = 3;
const PROBLEM_ROWS = 3;

function formBody(it: FormDialog, model: Model): Line[] {
  const width = textWidth(model);
  const fields = fieldsOf(it);
  const lines = fields.map(({ name, label, choices }, at): Line => {
    const isHere = at === it.field;
    const typed = it.values[name]!.slice(-(width - 24));
    const value = choices ? (isHere ? `< ${typed} >` : typed) : isHere ? `${typed}_` : typed;
    const shown = `${isHere ? '>' : ' '} ${fitted(label, 14)}  [ ${value} ]`;
    return isHere ? line(` ${fitted(shown, width)}`, 'bar') : line(` ${shown}`);
  });
  const note = wrapped(fields[it.field]!.note, width).slice(0, NOTE_ROWS);
  const problem = wrapped(it.problem, width).slice(0, PROBLEM_ROWS);
  return [
    line(` ${it.title}`, 'strong'),
    ...lines,
    ...note.map((text) => line(` ${text}`)),
    ...(it.problem === '' ? [] : problem.map((text) => line(` ${text}`, 'bad'))),
  ];
}
