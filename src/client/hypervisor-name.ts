const LENGTH_MAX = 48;

/** A name for the hypervisor at an address: its host, with a number if that is taken. */
export function hypervisorNameFor(uri: string, taken: readonly string[]): string {
  const host = /^[^/]*\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^:/]*)/.exec(uri)?.[1] ?? '';
  const words = host.match(/[A-Za-z0-9][A-Za-z0-9._-]*/g) ?? [];
  const plain = words.join('-').slice(0, LENGTH_MAX) || 'local';
  for (let at = 1; ; at++) {
    const name = at === 1 ? plain : `${plain}-${at}`;
    if (!taken.includes(name)) return name;
  }
}
