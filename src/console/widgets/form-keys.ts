import type { FormDialog, FormField, FormValues } from '../state/dialog-model.ts';
import type { Key } from '../terminal/keys.ts';

/* What keys do in a form, and in a line that is typed. */

const TYPED_MAX = 4096;

export function edited(text: string, key: Key, max = TYPED_MAX): string {
  if (key.kind === 'text') return text.length < max ? text + key.text : text;
  return key.name === 'backspace' ? Array.from(text).slice(0, -1).join('') : text;
}

/** Those that are asked, as the others stand. */
export function fieldsOf({ form, values }: FormDialog): readonly FormField[] {
  return form.fields.filter(({ matters }) => matters?.(values) ?? true);
}

export function formKey(it: FormDialog, key: Key): FormDialog {
  const fields = fieldsOf(it);
  const { length } = fields;
  const field = fields[it.field]!;
  if (key.kind === 'named' && (key.name === 'down' || key.name === 'tab')) {
    return { ...it, field: (it.field + 1) % length };
  }
  if (key.kind === 'named' && key.name === 'up') {
    return { ...it, field: (it.field + length - 1) % length };
  }
  return { ...it, values: { ...it.values, [field.name]: changed(field, it.values, key) } };
}

function changed({ name, choices }: FormField, values: FormValues, key: Key): string {
  const value = values[name]!;
  if (!choices) return edited(value, key);
  const by = stepOf(key);
  const at = choices.indexOf(value) + by + choices.length;
  return choices[at % choices.length]!;
}

function stepOf(key: Key): number {
  if (key.kind === 'text') return key.text === ' ' ? 1 : 0;
  return key.name === 'right' ? 1 : key.name === 'left' ? -1 : 0;
}
