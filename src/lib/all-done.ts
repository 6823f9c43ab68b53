/**
 * As `Promise.all`, but while anything is still under way it does not reject: what the others fill is theirs until
 * then, and the caller may use it for something else afterwards.
 */
export async function allDone<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const ends = await Promise.allSettled(work);
  return ends.map((end) => {
    if (end.status === 'rejected') throw end.reason;
    return end.value;
  });
}
