import type { FormDialog, FormField } from '../state/dialog.ts';
import { type Model, type Next, withDialog } from '../state/model.ts';
import { startTask } from '../state/tasks.ts';
import { fitted, type Line, line, wrapped } from '../terminal/screen.ts';
import { type DialogKind, key, type PageKey } from './page.ts';
import { POINT, THERE } from './learned.ts';
import { edited, escape, textWidth } from './typed.ts';

/* A dialog of several questions. */

export const formKind: DialogKind<FormDialog> = {
  keys(it) {
    const fields = fieldsOf(it);
    const { name, choices } = fields[it.field]!;
    const offered = offeredTo(it, fields[it.field]!);
    const move = key(['up', 'down', 'tab'], 'field', (_model, pressed) => {
      const by = pressed === 'up' ? fields.length - 1 : 1;
      return { ...it, field: (it.field + by) % fields.length };
    });
    const choose = (of: readonly string[]): PageKey =>
      key(['left', 'right', 'space'], 'change', (_model, pressed) => {
        const by = pressed === 'left' ? of.length - 1 : 1;
        const value = of[(of.indexOf(it.values[name]!) + by) % of.length]!;
        const next = withValue(it, name, value);
        const turned = it.form.turned?.(next.values, name);
        return turned ? { ...turned, ...(it.learned && { learned: it.learned }) } : next;
      });
    const offer = key(['left', 'right'], 'choose', (_model, pressed) => {
      const [before, last] = partsOf(it.values[name]!, fields[it.field]!);
      const at = offered.indexOf(last);
      const next = pressed === 'left' ? (at < 0 ? 0 : at) + offered.length - 1 : at + 1;
      return withValue(it, name, `${before}${offered[next % offered.length]!}`);
    });
    return [
      move,
      ...(choices ? [choose(choices)] : offered.length > 0 ? [offer] : []),
      key('enter', it.form.does, (model) => submitted(it, model)),
      escape('back'),
    ];
  },
  typed(it, model, key) {
    const { name, choices } = fieldsOf(it)[it.field]!;
    return withDialog(model, choices ? it : withValue(it, name, edited(it.values[name]!, key)));
  },
  queries: [THERE, POINT],
  body: formBody,
};

function withValue(it: FormDialog, name: string, value: string): FormDialog {
  return { ...it, values: { ...it.values, [name]: value } };
}

/** The fields that are asked for, given the values of the others. */
function fieldsOf({ form, values }: FormDialog): readonly FormField[] {
  return form.fields.filter(({ matters }) => matters?.(values) ?? true);
}

/** The last one is none of them: so the default comes back. */
function offeredTo({ values, learned = {} }: FormDialog, { offers }: FormField): readonly string[] {
  const all = offers?.(values, learned) ?? [];
  return all.length === 0 ? [] : [...all, ''];
}

/** What stays of a list when its last value is chosen, and that value. */
function partsOf(text: string, { isList }: FormField): readonly [string, string] {
  const at = isList ? text.search(/(?:[^,\s][^,]*)?$/) : 0;
  return [text.slice(0, at), text.slice(at)];
}

function submitted(it: FormDialog, model: Model): Next {
  const asked = it.form.submit(it.values);
  if (typeof asked === 'string') return withDialog(model, { ...it, problem: asked });
  if ('kind' in asked) return withDialog(model, asked);
  return startTask(model, { ...asked, form: { ...it, problem: '' } });
}

const NOTE_ROWS = 3;
export const PROBLEM_ROWS = 3;

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
  const here = fields[it.field]!;
  const note = wrapped(here.note, width).slice(0, NOTE_ROWS);
  const offered = offeredTo(it, here).filter((value) => value !== '');
  const problem = wrapped(it.problem, width).slice(0, PROBLEM_ROWS);
  return [
    line(` ${it.title}`, 'strong'),
    ...lines,
    ...note.map((text) => line(` ${text}`)),
    ...(offered.length === 0 ? [] : [line(` ${fitted(`Known: ${offered.join('  ')}`, width)}`)]),
    ...(it.problem === '' ? [] : problem.map((text) => line(` ${text}`, 'bad'))),
  ];
}
