/*
 * Names and texts come from guests, from images and from anyone who can write to a store. A terminal would obey some of
 * their characters: it could hide a line from the person who is about to agree to it.
 */

/** Makes a text safe as a part of a line. */
export function printable(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what it looks for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?');
}

/** Makes a text safe that may have several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
