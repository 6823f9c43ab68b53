import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { parse, parts, SchemaError } from '../../src/lib/schema.ts';
import { jobRequest } from '../../src/operations/nouns/background.ts';
import { jobSummary } from '../../src/operations/nouns/job.ts';
import { openApi } from '../../src/operations/openapi.ts';
import type { Operation } from '../../src/operations/base/operation.ts';
import { OPERATIONS } from '../../src/operations/operations.ts';

interface Json {
  readonly properties?: Readonly<Record<string, Json>>;
  readonly items?: Json;
  readonly oneOf?: readonly Json[];
  readonly anyOf?: readonly Json[];
  readonly description?: string;
  readonly $ref?: string;
}
interface Post {
  readonly requestBody: {
    readonly content: { readonly 'application/json': { readonly schema: Json } };
  };
  readonly responses: { readonly 200: Post['requestBody'] };
}

function undescribed(json: Json, at: string): readonly string[] {
  const fields = Object.entries(json.properties ?? {});
  const inner = [json.items, ...(json.oneOf ?? []), ...(json.anyOf ?? [])].filter(
    (it) => it !== undefined,
  );
  return [
    ...fields.filter(([, it]) => !it.description && !it.$ref).map(([name]) => `${at}.${name}`),
    ...fields.flatMap(([name, it]) => undescribed(it, `${at}.${name}`)),
    ...inner.flatMap((it) => undescribed(it, at)),
  ];
}

const { paths } = openApi('1') as {
  readonly paths: Readonly<Record<string, { readonly post: Post }>>;
};

test('every field of every request and answer is described', async () => {
  const missing = Object.entries(paths).flatMap(([path, { post }]) => [
    ...undescribed(post.requestBody.content['application/json'].schema, `${path} asks`),
    ...undescribed(post.responses[200].content['application/json'].schema, `${path} answers`),
  ]);
  deepEqual(missing, []);
});

test('each operation has one declaration, under its own name', async () => {
  for (const [name, operation] of Object.entries<Operation>(OPERATIONS)) {
    equal(operation.name, name);
    equal(/^[A-Z].*[^.]$/.test(operation.summary), true, operation.summary);
  }
  equal(Object.keys(paths).length, Object.keys(OPERATIONS).length);
});

test('no operation takes a list for its request, and none repeats what it refuses', async () => {
  const secret = 'HUNTER2';
  for (const { name, request } of Object.values<Operation>(OPERATIONS)) {
    for (const given of [[], [secret], { [`no-${name}`]: secret }, { kind: secret }, secret]) {
      try {
        parse(request, given);
        equal(true, false, name);
      } catch (error) {
        equal(error instanceof SchemaError, true, name);
        equal(String(error).includes(secret), false, name);
      }
    }
  }
});

test('what can be a job by its declaration is a kind of job, and nothing else is', async () => {
  const declared = Object.values<Operation>(OPERATIONS).flatMap(({ job }) => job?.kind ?? []);
  const asked = parts(jobRequest).options!.flatMap(
    (it) => parts(parts(it).entries!['kind']!).choices!,
  );
  deepEqual(asked.sort(), declared.sort());
  deepEqual([...parts(parts(jobSummary).entries!['kind']!).choices!].sort(), declared);
});
