import type { StartedWork } from './dialog.ts';
import type { Model, Next } from './model.ts';

/** Tasks under way at once; further ones are refused. */
const TASKS_MAX = 16;

export function startTask(
  model: Model,
  { title, call, secret, passkey, form, wanted }: StartedWork,
): Next {
  if (model.isEnding) {
    const hint = 'The set-up is finished: this screen closes as soon as all tasks have ended.';
    return [{ ...model, dialog: undefined, hint }, []];
  }
  if (model.tasks.length >= TASKS_MAX) {
    return [
      {
        ...model,
        dialog: undefined,
        hint: 'Too many tasks are under way: wait until one has ended.',
      },
      [],
    ];
  }
  const id = model.nextId;
  const given = { secret, passkey };
  const task = { id, call, title, progress: '', from: model.screen, form, wanted, given };
  const tasks = [...model.tasks, task];
  return [
    { ...model, tasks, dialog: undefined, nextId: id + 1 },
    [{ kind: 'ask', id, call, secret, passkey }],
  ];
}
