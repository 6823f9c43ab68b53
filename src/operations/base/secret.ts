import { field, type Of, text, variants } from '../../lib/schema.ts';

export const base64Secret = text({
  ...{ max: 128 * 1024, pattern: /^[\w+/]+={0,2}$/ },
  words: 'base64',
});

/** Sent in the body of a request that may need a key; never in an address or a log. */
export const givenSecret = variants('kind', {
  passphrase: {
    base64: field(base64Secret, 'the passphrase in base64'),
  },
  'recovery-key': { text: field(text({ max: 1024 }), 'the recovery key, as it was shown') },
});
export type SentSecret = Of<typeof givenSecret>;

/** The passkey of a set, as a person types it. */
export const passkeyText = text({
  ...{ min: 8, max: 1024, pattern: /^\P{Cc}*$/u },
  words: 'free of control characters',
});
