/** What every command understands; `help.ts` tells people. */
export const GENERAL_OPTIONS = {
  store: { type: 'string' },
  socket: { type: 'string' },
  server: { type: 'string' },
  'token-file': { type: 'string' },
  cafile: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  'passphrase-file': { type: 'string' },
  'passphrase-fd': { type: 'string' },
  'recovery-key-file': { type: 'string' },
} as const;
