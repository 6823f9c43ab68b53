import { hintsOf, parts, type Schema } from '../../lib/schema.ts';

/** All values in a request that name a file, a device or a socket of the machine that the service runs on. */
export function hostFilesIn(schema: Schema<unknown>, value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  const { hostFile } = hintsOf(schema);
  if (typeof value === 'string' && hostFile !== undefined) {
    return hostFile !== true && hostFile.test(value) ? [] : [value];
  }
  const { wrapped, item, entries, options } = parts(schema);
  if (wrapped) return hostFilesIn(wrapped, value);
  // A value matches one of them; in the others, only shared names are checked.
  if (options) return options.flatMap((option) => hostFilesIn(option, value));
  if (item && Array.isArray(value)) return value.flatMap((it) => hostFilesIn(item, it));
  if (typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, it]) => {
    const inner = entries && Object.hasOwn(entries, name) ? entries[name] : parts(schema).value;
    return inner ? hostFilesIn(inner, it) : [];
  });
}
