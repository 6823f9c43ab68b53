/** "one condition is not met". */
export function unmetConditions(count: number): string {
  return count === 1 ? 'one condition is not met' : `${count} conditions are not met`;
}
