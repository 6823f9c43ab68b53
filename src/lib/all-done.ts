/**
 * As `Promise.all`, but it does not reject while any of the others is still under way: until then they own the memory
 * that they fill, and afterwards the caller may reuse it.
 */
export async function allDone<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const ends = await Promise.allSettled(work);
  return ends.map((end) => {
    if (end.status === 'rejected') throw end.reason;
    return end.value;
  });
}
