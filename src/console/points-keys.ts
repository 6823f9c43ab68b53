import type { Model, Next } from './model.ts';

export function pointsKey(model: Model, key: string): Next {
  switch (key) {
    case '/':
      return [{ ...model, dialog: { kind: 'filter', typed: model.points.filter } }, []];
    case 'enter':
    case 'r':
      return [withRunForm(model), []];
    default:
      return [model, []];
  }
}

function withRunForm(model: Model): Model {
  const { rows, first, chosen } = model.points;
  const row = rows[chosen - first];
  if (!row) return { ...model, hint: 'No recovery point is chosen.' };
  const point = `${row.set}/${row.point}`;
  return {
    ...model,
    dialog: {
      ...{ kind: 'run', point, field: 0, listen: '', nfs: false, allow: '', whenFull: 'pause' },
    },
  };
}
