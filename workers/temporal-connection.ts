import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { BadEnvironmentVariables, type TemporalSettings } from './dependencies.js';

type TlsConfig = Exclude<NativeConnectionOptions['tls'], boolean | null | undefined>;

/**
 * Address, TLS and API key as the Temporal SDK takes them.
 * @throws {BadEnvironmentVariables} if a file cannot be read, is no PEM, or key and certificate do not belong together
 */
export function temporalConnection({
  address,
  namespace,
  apiKey,
  tls,
  proxy,
}: TemporalSettings): NativeConnectionOptions {
  const reached = { address, ...(proxy !== null && { proxy: throughProxy(proxy) }) };
  if (tls === null) return reached;
  const { ca, cert, key, serverName } = tls;
  const config: TlsConfig = {
    ...(ca !== null && { serverRootCACertificate: certificatesIn('SEEUPO_TEMPORAL_TLS_CA', ca).pem }),
    ...(cert !== null && key !== null && { clientCertPair: pairIn(cert, key) }),
    ...(serverName !== null && { serverNameOverride: serverName }),
  };
  return {
    ...reached,
    tls: Object.keys(config).length === 0 ? true : config,
    // Temporal Cloud finds the namespace of a key by this header.
    ...(apiKey !== null && { apiKey, metadata: { 'temporal-namespace': namespace } }),
  };
}

/** @param proxy  a URL, with user and password if it asks for them */
function throughProxy(proxy: string): NonNullable<NativeConnectionOptions['proxy']> {
  const { hostname, port, username, password } = new URL(proxy);
  const basicAuth = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  return { type: 'http-connect', targetHost: `${hostname}:${port || '80'}`, ...(username !== '' && { basicAuth }) };
}

/** What is no PEM is not noticed by the SDK, which then trusts nobody. */
function certificatesIn(variable: string, file: string): { pem: Buffer; first: X509Certificate } {
  const pem = contentOf(variable, file);
  try {
    const all = (pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? []).map(
      (one) => new X509Certificate(one),
    );
    if (all[0]) return { pem, first: all[0] };
  } catch {
    // Said below.
  }
  throw new BadEnvironmentVariables([
    `${variable} is "${file}", which holds no certificate in PEM (-----BEGIN CERTIFICATE-----): convert it with openssl x509 -inform der, or name another file`,
  ]);
}

function pairIn(cert: string, key: string): { crt: Buffer; key: Buffer } {
  const { pem: crt, first } = certificatesIn('SEEUPO_TEMPORAL_TLS_CERT', cert);
  const pem = contentOf('SEEUPO_TEMPORAL_TLS_KEY', key);
  const refused = (problem: string) => new BadEnvironmentVariables([problem]);
  let secret: KeyObject;
  try {
    secret = createPrivateKey(pem);
  } catch (error) {
    const locked = (error as NodeJS.ErrnoException).code === 'ERR_MISSING_PASSPHRASE';
    throw refused(
      `SEEUPO_TEMPORAL_TLS_KEY is "${key}", which holds ${locked ? 'a private key under a passphrase: take it off with openssl pkey' : 'no private key in PEM (-----BEGIN PRIVATE KEY-----)'}`,
    );
  }
  if (!first.checkPrivateKey(secret))
    throw refused(
      `SEEUPO_TEMPORAL_TLS_KEY, "${key}", is not the key of the certificate in SEEUPO_TEMPORAL_TLS_CERT, "${cert}": name the two that were made together`,
    );
  if (Date.parse(first.validTo) < Date.now())
    throw refused(`SEEUPO_TEMPORAL_TLS_CERT is "${cert}", a certificate that ran out on ${first.validTo}: renew it`);
  return { crt, key: pem };
}

function contentOf(variable: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new BadEnvironmentVariables([
      `${variable} is "${file}", which cannot be read (${(error as NodeJS.ErrnoException).code}): name a PEM file`,
    ]);
  }
}
