import { commandLine } from '../activities/command-line.js';
import type { TemporalSettings } from './dependencies.js';

/**
 * A command of the Temporal CLI that reaches the server which this worker reaches, ready to paste; a secret is
 * named, not shown.
 */
export function temporalCommand(
  { address, namespace, apiKey, tls }: TemporalSettings,
  ...words: readonly string[]
): string {
  const flags = [
    '--address',
    address,
    '--namespace',
    namespace,
    ...(tls === null ? [] : ['--tls']),
    ...(tls?.ca ? ['--tls-ca-path', tls.ca] : []),
    ...(tls?.cert ? ['--tls-cert-path', tls.cert] : []),
    ...(tls?.key ? ['--tls-key-path', tls.key] : []),
    ...(tls?.serverName ? ['--tls-server-name', tls.serverName] : []),
  ];
  return `${commandLine('temporal', ...words, ...flags)}${apiKey === null ? '' : ' --api-key "$SEEUPO_TEMPORAL_API_KEY"'}`;
}
