import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { readSettings } from '../../workers/dependencies.js';
import { temporalConnection } from '../../workers/temporal-connection.js';

const connection = (variables: Record<string, string>) => temporalConnection(readSettings({ SEEUPO_S3_BUCKET: 'runs', ...variables }).temporal);

test('without a word about it there is neither TLS nor a key: a server on loopback', () => {
  assert.deepEqual(connection({}), { address: '127.0.0.1:7233' });
});

test('an API key turns TLS on and names the namespace, as Temporal Cloud asks', () => {
  assert.deepEqual(connection({ SEEUPO_TEMPORAL_ADDRESS: 'eu.api.temporal.io:7233', SEEUPO_TEMPORAL_NAMESPACE: 'lab.a1b2c', SEEUPO_TEMPORAL_API_KEY: 'k' }), {
    address: 'eu.api.temporal.io:7233', tls: true, apiKey: 'k', metadata: { 'temporal-namespace': 'lab.a1b2c' },
  });
});

test('certificates are read from files: the authority\'s, and this client\'s with its key', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'seeupo-tls-'));
  const file = async (name: string): Promise<string> => (await writeFile(path.join(folder, name), name), path.join(folder, name));
  const variables = {
    SEEUPO_TEMPORAL_TLS_CA: await file('ca.pem'), SEEUPO_TEMPORAL_TLS_CERT: await file('client.pem'), SEEUPO_TEMPORAL_TLS_KEY: await file('client.key'),
    SEEUPO_TEMPORAL_TLS_SERVER_NAME: 'temporal.lab',
  };
  assert.deepEqual(connection(variables).tls, {
    serverRootCACertificate: Buffer.from('ca.pem'),
    clientCertPair: { crt: Buffer.from('client.pem'), key: Buffer.from('client.key') },
    serverNameOverride: 'temporal.lab',
  });
});

test('a key that would travel in the clear, half a certificate and a file that is not there are refused, and no value of a key is shown', () => {
  const refused = (variables: Record<string, string>, message: RegExp) =>
    assert.throws(() => connection(variables), (error: Error) => error.name === 'BadEnvironmentVariables' && message.test(error.message) && !error.message.includes('s3cret'));
  refused({ SEEUPO_TEMPORAL_API_KEY: 's3cret', SEEUPO_TEMPORAL_TLS: 'false' }, /must not travel in the clear/);
  refused({ SEEUPO_TEMPORAL_TLS_CERT: '/client.pem' }, /belong together/);
  refused({ SEEUPO_TEMPORAL_TLS_CA: '/nowhere/ca.pem' }, /SEEUPO_TEMPORAL_TLS_CA is "\/nowhere\/ca\.pem", which cannot be read \(ENOENT\)/);
});
