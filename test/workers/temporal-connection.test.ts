import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { readSettings } from '../../workers/dependencies.js';
import { temporalConnection } from '../../workers/temporal-connection.js';

const connection = (variables: Record<string, string>) =>
  temporalConnection(readSettings({ SEEUPO_S3_BUCKET: 'runs', ...variables }).temporal);

test('without a word about it there is neither TLS nor a key: a server on loopback', () => {
  assert.deepEqual(connection({}), { address: '127.0.0.1:7233' });
});

test('an API key turns TLS on and names the namespace, as Temporal Cloud asks', () => {
  assert.deepEqual(
    connection({
      SEEUPO_TEMPORAL_ADDRESS: 'eu.api.temporal.io:7233',
      SEEUPO_TEMPORAL_NAMESPACE: 'lab.a1b2c',
      SEEUPO_TEMPORAL_API_KEY: 'k',
    }),
    {
      address: 'eu.api.temporal.io:7233',
      tls: true,
      apiKey: 'k',
      metadata: { 'temporal-namespace': 'lab.a1b2c' },
    },
  );
});

const file = (name: string): string => `test/workers/fixtures/tls/${name}`;

test("certificates are read from files: the authority's, and this client's with its key", () => {
  const variables = {
    SEEUPO_TEMPORAL_TLS_CA: file('ca.pem'),
    SEEUPO_TEMPORAL_TLS_CERT: file('client.pem'),
    SEEUPO_TEMPORAL_TLS_KEY: file('client.key'),
    SEEUPO_TEMPORAL_TLS_SERVER_NAME: 'temporal.lab',
  };
  assert.deepEqual(connection(variables).tls, {
    serverRootCACertificate: readFileSync(file('ca.pem')),
    clientCertPair: { crt: readFileSync(file('client.pem')), key: readFileSync(file('client.key')) },
    serverNameOverride: 'temporal.lab',
  });
});

test('a file that is no certificate, no key, or not the key of the certificate is refused by its variable', async () => {
  const json = path.join(await mkdtemp(path.join(tmpdir(), 'seeupo-tls-')), 'ca.json');
  await writeFile(json, '{"ca":"-----BEGIN CERTIFICATE-----"}');
  const refused = (variables: Record<string, string>, message: RegExp) =>
    assert.throws(() => connection(variables), { name: 'BadEnvironmentVariables', message });
  refused(
    { SEEUPO_TEMPORAL_TLS_CA: json },
    /SEEUPO_TEMPORAL_TLS_CA is ".*ca\.json", which holds no certificate in PEM/,
  );
  refused({ SEEUPO_TEMPORAL_TLS_CA: file('client.key') }, /SEEUPO_TEMPORAL_TLS_CA .*holds no certificate/);
  const pair = (cert: string, key: string) => ({ SEEUPO_TEMPORAL_TLS_CERT: cert, SEEUPO_TEMPORAL_TLS_KEY: key });
  refused(pair(json, file('client.key')), /SEEUPO_TEMPORAL_TLS_CERT .*holds no certificate/);
  refused(pair(file('client.pem'), json), /SEEUPO_TEMPORAL_TLS_KEY .*holds no private key/);
  refused(
    pair(file('client.pem'), file('server.key')),
    /SEEUPO_TEMPORAL_TLS_KEY.*is not the key of the certificate in SEEUPO_TEMPORAL_TLS_CERT/,
  );
});

test('a key that would travel in the clear, half a certificate and a file that is not there are refused, and no value of a key is shown', () => {
  const refused = (variables: Record<string, string>, message: RegExp) =>
    assert.throws(
      () => connection(variables),
      (error: Error) =>
        error.name === 'BadEnvironmentVariables' && message.test(error.message) && !error.message.includes('s3cret'),
    );
  refused({ SEEUPO_TEMPORAL_API_KEY: 's3cret', SEEUPO_TEMPORAL_TLS: 'false' }, /must not travel in the clear/);
  refused({ SEEUPO_TEMPORAL_TLS_CERT: '/client.pem' }, /belong together/);
  refused(
    { SEEUPO_TEMPORAL_TLS_CA: '/nowhere/ca.pem' },
    /SEEUPO_TEMPORAL_TLS_CA is "\/nowhere\/ca\.pem", which cannot be read \(ENOENT\)/,
  );
});
