/*
 * Removes secrets from data that leaves the host. Collected data should not contain any; this is a safeguard, and
 * rather removes too much.
 */

const REMOVED = '(removed)';
/** Removing shorter ones would damage every text, and protect nothing. */
const SECRET_LENGTH_MIN = 4;

const NAMES = 'pass(?:word|phrase|wd)?|secret|psk|api[-_]?key|authorization|cookie';
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, REMOVED],
  // A user and a password before a host's name; a text treated as a path has only one slash.
  [/\b([a-z][a-z0-9+.-]*:\/\/?)[^\s/@"'<>]+@/gi, `$1${REMOVED}@`],
  // The address of a webhook is a secret, except its host.
  [/\b(https?:\/\/?[^\s/?#"'<>\\]+)[/?#][^\s"'<>\\]+/gi, `$1/${REMOVED}`],
  // Tokens of other hosts (formats/store/service/tokens.md).
  [/\bhft_[\w-]+/g, REMOVED],
  [/\b(Bearer|Basic) [\w.~+/=-]+/g, `$1 ${REMOVED}`],
  // A value after its name, unless it is a path.
  [new RegExp(`((?:${NAMES})["']?\\s*[:=]\\s*["']?)(?![/(])[^\\s"',;&}]+`, 'gi'), `$1${REMOVED}`],
  // Recovery keys (formats/store/catalog/key-slot.ts) and their like: many groups of four.
  [/\b(?:[0-9A-Za-z]{4}-){7,}[0-9A-Za-z]{1,4}\b/g, REMOVED],
  // "identity:hexadecimal key" of pre-shared keys.
  [/:[0-9a-f]{32,}\b/gi, `:${REMOVED}`],
];

/** `known` are secrets by their value. */
export function withoutSecrets(text: string, known: readonly string[]): string {
  let rest = text;
  for (const secret of known) {
    if (secret.length < SECRET_LENGTH_MIN) continue;
    for (const form of formsOf(secret)) rest = rest.replaceAll(form, REMOVED);
  }
  for (const [pattern, by] of PATTERNS) rest = rest.replaceAll(pattern, by);
  return rest;
}

/** The forms in which it may occur in a text: plain, in JSON, in an address, in a header. */
function formsOf(secret: string): Set<string> {
  const base64 = Buffer.from(secret).toString('base64').replace(/=+$/, '');
  return new Set([
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    base64,
    Buffer.from(secret).toString('hex'),
  ]);
}
