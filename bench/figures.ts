/** One line of the report. A ratio above 1 is in our favour. */
export function figure(
  name: string,
  ours: string,
  peer: string,
  { ratio, aim }: { readonly ratio?: number; readonly aim?: string } = {},
): void {
  const shown = ratio === undefined ? '' : `${ratio.toFixed(2)}x`;
  const columns = [name.padEnd(44), ours.padStart(16), peer.padStart(26), shown.padStart(9)];
  process.stdout.write(`${columns.join('  ')}${aim === undefined ? '' : `  (aim ${aim})`}\n`);
}

export function section(title: string): void {
  process.stdout.write(`\n${title}\n`);
}

export function skipped(what: string, why: string): void {
  process.stdout.write(`${what.padEnd(44)}  skipped: ${why}\n`);
}

export function seconds(value: number): string {
  return value < 1 ? `${(value * 1000).toFixed(0)} ms` : `${value.toFixed(2)} s`;
}
