import { jsonSchemaOf } from '../lib/json-schema.ts';
import type { JsonObject } from '../lib/schema.ts';
import { EXIT_CODES } from './base/failure.ts';
import type { Operation } from './base/operation.ts';
import { givenSecret, passkeyText } from './base/secret.ts';
import { EVENTS_TYPE } from './events-type.ts';
import { OPERATIONS } from './operations.ts';

const JSON_TYPE = 'application/json';

/** The description of the protocol for other tools: OpenAPI 3.1, derived from the table that the API uses. */
export function openApi(version: string): object {
  const paths = Object.entries<Operation>(OPERATIONS).map(
    ([name, operation]) => [`/v1/${name}`, { post: described(name, operation) }] as const,
  );
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version,
      description:
        'HTTP over a unix socket. Root and the group holdfast may do all, the group holdfast-view may look. ' +
        'From other hosts HTTP over TLS 1.3, with a token. ' +
        `With "Accept: ${EVENTS_TYPE}" an answer is lines of JSON: progress and notices as they come, then ` +
        'one of event "result" or "error".',
    },
    paths: Object.fromEntries(paths),
    // Not needed over the unix socket.
    security: [{ token: [] }, {}],
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Secret: jsonSchemaOf(givenSecret, 'input'),
        Passkey: jsonSchemaOf(passkeyText, 'input'),
        Error: ERROR,
      },
    },
  };
}

const ERROR: JsonObject = {
  type: 'object',
  properties: {
    event: { const: 'error' },
    kind: { type: 'string', enum: Object.keys(EXIT_CODES) },
    message: { type: 'string' },
    needsKeyOf: { type: 'string', description: 'the set whose key has to be given as `secret`' },
    needsPasskeyOf: {
      type: 'string',
      description: 'the set whose passkey has to be given as `passkey`',
    },
  },
  required: ['event', 'kind', 'message'],
};

function described(
  name: string,
  { summary, description, access, key, passkey = 'not asked', request, result }: Operation,
): JsonObject {
  const content = (schema: JsonObject) => ({ content: { [JSON_TYPE]: { schema } } });
  const refs = {
    ...(key !== undefined && { secret: '#/components/schemas/Secret' }),
    ...(passkey !== 'not asked' && { passkey: '#/components/schemas/Passkey' }),
  };
  const asked = withAlso(jsonSchemaOf(request, 'input'), refs);
  const allowed = access === 'view' ? 'Only looks.' : 'Not for the group holdfast-view.';
  return {
    operationId: name,
    tags: [name.split('/')[0]],
    summary,
    description: [description, allowed].filter(Boolean).join(' '),
    requestBody: content(asked),
    responses: {
      200: { description: 'done', ...content(jsonSchemaOf(result, 'output')) },
      default: {
        description: 'failed',
        ...content({ $ref: '#/components/schemas/Error' }),
      },
    },
  };
}

/** If a request is one of several objects, adds it to each of them. */
function withAlso(
  { oneOf, ...json }: JsonObject,
  refs: Readonly<Record<string, string>>,
): JsonObject {
  if (Array.isArray(oneOf)) return { ...json, oneOf: oneOf.map((it) => withAlso(it, refs)) };
  const also = Object.entries(refs).map(([name, $ref]) => [name, { $ref }] as const);
  if (also.length === 0) return json;
  const properties = json['properties'] as object;
  return { ...json, properties: { ...properties, ...Object.fromEntries(also) } };
}
