import type { Marks } from '../operations/base/marks.ts';

/* How notes of a recovery point, and what keeps it, are shown in a list. */

/** `protected, held (legal-2026), locked until 2027-01-31, tags gold, "before the migration"`; '' for nothing. */
export function marksText(marks: Marks | undefined): string {
  if (!marks) return '';
  const { note, tags } = marks;
  return [
    ...keptTexts(marks),
    ...(tags.length === 0 ? [] : [`tags ${tags.join(' ')}`]),
    ...(note === null ? [] : [`"${note}"`]),
  ].join(', ');
}

/** What keeps it; empty: nothing. */
export function keptTexts({ protected: isProtected, holds, lockedUntil, unreadable }: Marks) {
  const names = holds.map(({ name }) => name).join(' ');
  return [
    ...(unreadable === undefined ? [] : ['STAYS: HOLDS AND LOCKS CANNOT BE READ']),
    ...(isProtected ? ['protected'] : []),
    ...(names === '' ? [] : [`held (${names})`]),
    ...(lockedUntil === null ? [] : [`locked until ${lockedUntil.slice(0, 'YYYY-MM-DD'.length)}`]),
  ];
}
