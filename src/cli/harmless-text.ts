/*
 * Names and texts come from guests, and from whoever can write to a store: what a terminal would obey could hide a line
 * from somebody who is about to agree to it.
 */

/** For a part of a line. */
export function harmless(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex -- they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?');
}

/** For several lines. */
export function harmlessLines(text: string): string {
  return text.split('\n').map(harmless).join('\n');
}
