import { readFileSync } from 'node:fs';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { BadEnvironmentVariables, type TemporalSettings } from './dependencies.js';

type TlsConfig = Exclude<NativeConnectionOptions['tls'], boolean | null | undefined>;

/**
 * Address, TLS and API key as the Temporal SDK takes them.
 * @throws {BadEnvironmentVariables} if a file cannot be read
 */
export function temporalConnection({ address, namespace, apiKey, tls }: TemporalSettings): NativeConnectionOptions {
  if (tls === null) return { address };
  const { ca, cert, key, serverName } = tls;
  const config: TlsConfig = {
    ...(ca !== null && { serverRootCACertificate: contentOf('SEEUPO_TEMPORAL_TLS_CA', ca) }),
    ...(cert !== null && key !== null && { clientCertPair: { crt: contentOf('SEEUPO_TEMPORAL_TLS_CERT', cert), key: contentOf('SEEUPO_TEMPORAL_TLS_KEY', key) } }),
    ...(serverName !== null && { serverNameOverride: serverName }),
  };
  return {
    address,
    tls: Object.keys(config).length === 0 ? true : config,
    // Temporal Cloud finds the namespace of a key by this header.
    ...(apiKey !== null && { apiKey, metadata: { 'temporal-namespace': namespace } }),
  };
}

function contentOf(variable: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new BadEnvironmentVariables([`${variable} is "${file}", which cannot be read (${(error as NodeJS.ErrnoException).code}): name a PEM file`]);
  }
}
