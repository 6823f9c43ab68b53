import { jsonSchemaOf } from '../lib/json-schema.ts';
import type { JsonObject } from '../lib/schema.ts';
import { EXIT_CODES } from './base/failure.ts';
import type { Operation } from './base/operation.ts';
import { givenSecret } from './base/secret.ts';
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
      schemas: { Secret: jsonSchemaOf(givenSecret, 'input'), Error: ERROR },
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
  },
  required: ['event', 'kind', 'message'],
};

function described(
  name: string,
  { summary, description, access, key, request, result }: Operation,
): JsonObject {
  const content = (schema: JsonObject) => ({ content: { [JSON_TYPE]: { schema } } });
  const asked = jsonSchemaOf(request, 'input');
  const allowed = access === 'view' ? 'Only looks.' : 'Not for the group holdfast-view.';
  return {
    operationId: name,
    tags: [name.split('/')[0]],
    summary,
    description: [description, allowed].filter(Boolean).join(' '),
    requestBody: content(key === undefined ? asked : withSecret(asked)),
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
function withSecret({ oneOf, ...json }: JsonObject): JsonObject {
  if (Array.isArray(oneOf)) return { ...json, oneOf: oneOf.map(withSecret) };
  const properties = json['properties'] as object;
  return {
    ...json,
    properties: { ...properties, secret: { $ref: '#/components/schemas/Secret' } },
  };
}
