// Needs of set-up: temporal
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { readSettings } from '../../workers/dependencies.js';
import { temporalConnection } from '../../workers/temporal-connection.js';
import { connectionFault } from '../../workers/temporal-fault.js';
import { binary } from '../support/binaries.js';

const file = (name: string): string => `test/workers/fixtures/tls/${name}`;
const ca = { SEEUPO_TEMPORAL_TLS_CA: file('ca.pem') };
const name = { SEEUPO_TEMPORAL_TLS_SERVER_NAME: 'temporal.lab' };
const client = { SEEUPO_TEMPORAL_TLS_CERT: file('client.pem'), SEEUPO_TEMPORAL_TLS_KEY: file('client.key') };
const nobody = { SEEUPO_TEMPORAL_TLS_CERT: file('nobody.pem'), SEEUPO_TEMPORAL_TLS_KEY: file('nobody.key') };

let temporal: TestWorkflowEnvironment;
const servers: Server[] = [];
const at: Record<'tls' | 'mtls' | 'web' | 'plain', string> = { tls: '', mtls: '', web: '', plain: '' };

const listening = (server: Server): Promise<string> => {
  servers.push(server);
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`)),
  );
};
/** TLS before the real server. */
const front = (options: tls.TlsOptions): Promise<string> => {
  const [host, port] = temporal.address.split(':') as [string, string];
  const secured = {
    cert: readFileSync(file('server.pem')),
    key: readFileSync(file('server.key')),
    ALPNProtocols: ['h2'],
  };
  const server = tls.createServer({ ...secured, ...options }, (socket) => {
    const upstream = net.connect(Number(port), host);
    socket.pipe(upstream).pipe(socket);
    socket.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
  });
  return listening(server.on('tlsClientError', () => undefined));
};

before(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  temporal = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: binary('temporal') },
      log: { format: 'pretty', level: 'error' },
    },
  });
  at.plain = temporal.address;
  at.tls = await front({});
  at.mtls = await front({ requestCert: true, rejectUnauthorized: true, ca: readFileSync(file('ca.pem')) });
  at.web = await listening(http.createServer((_, response) => response.end('a web page')));
});
after(async () => {
  for (const server of servers) server.close();
  await temporal?.teardown();
});

/** How a connection as the variables say comes out: null if it does. */
async function connecting(address: string, variables: Record<string, string>): Promise<Error | null> {
  const settings = readSettings({ SEEUPO_S3_BUCKET: 'runs', SEEUPO_TEMPORAL_ADDRESS: address, ...variables }).temporal;
  try {
    await (await NativeConnection.connect(temporalConnection(settings))).close();
    return null;
  } catch (error) {
    return connectionFault(error, settings);
  }
}

test('with the right certificates it connects, over TLS and over mutual TLS', async () => {
  assert.equal(await connecting(at.tls, { ...ca, ...name }), null);
  assert.equal(await connecting(at.mtls, { ...ca, ...name, ...client }), null);
});

const FAULTS: readonly (readonly [
  what: string,
  address: () => string,
  variables: Record<string, string>,
  passes: boolean,
  says: RegExp,
])[] = [
  ['an authority that is not known', () => at.tls, name, false, /SEEUPO_TEMPORAL_TLS_CA/],
  [
    'another name',
    () => at.tls,
    ca,
    false,
    /is for temporal\.lab, not for .*SEEUPO_TEMPORAL_TLS_SERVER_NAME=temporal\.lab/,
  ],
  [
    'no certificate of the client',
    () => at.mtls,
    { ...ca, ...name },
    false,
    /SEEUPO_TEMPORAL_TLS_CERT and SEEUPO_TEMPORAL_TLS_KEY/,
  ],
  [
    'a certificate of another authority',
    () => at.mtls,
    { ...ca, ...name, ...nobody },
    true,
    /does it trust the certificate in SEEUPO_TEMPORAL_TLS_CERT/,
  ],
  ['plain to TLS', () => at.tls, {}, true, /SEEUPO_TEMPORAL_TLS=true/],
  [
    'TLS to plain',
    () => at.plain,
    { SEEUPO_TEMPORAL_TLS: 'true' },
    false,
    /does not speak TLS: set SEEUPO_TEMPORAL_TLS=false/,
  ],
  ['the port of a web page', () => at.web, {}, false, /is no Temporal server.*SEEUPO_TEMPORAL_ADDRESS/],
  ['a port where nobody listens', () => '127.0.0.1:1', {}, true, /nobody listens there.*SEEUPO_TEMPORAL_ADDRESS/],
  [
    'a host that there is none of',
    () => 'nowhere.invalid:7233',
    {},
    true,
    /no host of this name.*SEEUPO_TEMPORAL_ADDRESS/,
  ],
];
for (const [what, address, variables, passes, says] of FAULTS) {
  test(`${what}: ${passes ? 'waited for' : 'the worker ends'}, and the variable is named`, async () => {
    const fault = await connecting(address(), variables);
    assert.match(fault?.message ?? 'it connected', says);
    assert.equal(fault!.name, passes ? 'Error' : 'TemporalMisconfigured');
    assert.ok(!/Stack backtrace/.test(fault!.message));
  });
}
