import type { TemporalSettings } from './dependencies.js';

/** Temporal cannot be reached as the variables say, and will not be: one of them must change. */
export class TemporalMisconfigured extends Error {
  override name = 'TemporalMisconfigured';
}

/** The SDK's words (of Rust's TLS and HTTP), what they mean, and whether it passes by itself. */
const FAULTS: readonly (readonly [
  words: RegExp,
  passes: boolean,
  remedy: (settings: TemporalSettings, words: RegExpExecArray) => string,
])[] = [
  [
    /UnknownIssuer|CaUsedAsEndEntity|BadSignature/,
    false,
    () =>
      "the server's certificate is of no authority that this machine trusts: name the authority's PEM file " +
      'in SEEUPO_TEMPORAL_TLS_CA',
  ],
  [
    /NotValidForName(?:.*?DnsName\(\\*"([^"\\]+))?/s,
    false,
    ({ address }, [, name]) =>
      `the server's certificate is ${name === undefined ? '' : `for ${name}, `}not for the host of ${address}: set SEEUPO_TEMPORAL_TLS_SERVER_NAME${name === undefined ? ' to the name that it is for' : `=${name}`}`,
  ],
  [
    /InvalidCertificate\((Expired|NotValidYet)/,
    false,
    () => "the server's certificate has run out, or is not valid yet: renew it, or set this machine's clock",
  ],
  [
    /CertificateRequired/,
    false,
    () => 'the server asks for a certificate of its clients: set SEEUPO_TEMPORAL_TLS_CERT and SEEUPO_TEMPORAL_TLS_KEY',
  ],
  [
    /fatal alert: (\w+)/,
    false,
    ({ tls }, [, alert]) =>
      `the server refuses the handshake (${alert}): ${tls?.cert ? 'is the certificate in SEEUPO_TEMPORAL_TLS_CERT of the authority that the server trusts, and not run out?' : 'does it ask for a certificate (SEEUPO_TEMPORAL_TLS_CERT and SEEUPO_TEMPORAL_TLS_KEY), or for another name (SEEUPO_TEMPORAL_TLS_SERVER_NAME)?'}`,
  ],
  [
    /InvalidCertificate|InvalidPrivateKey|KeyMismatch/,
    false,
    () =>
      'a certificate cannot be used (X.509 of version 3 is needed): see SEEUPO_TEMPORAL_TLS_CERT, ' +
      'SEEUPO_TEMPORAL_TLS_KEY and SEEUPO_TEMPORAL_TLS_CA',
  ],
  [
    /InvalidContentType|InvalidMessage/,
    false,
    ({ address }) =>
      `${address} does not speak TLS: set SEEUPO_TEMPORAL_TLS=false and unset SEEUPO_TEMPORAL_API_KEY and SEEUPO_TEMPORAL_TLS_*, or correct SEEUPO_TEMPORAL_ADDRESS`,
  ],
  [
    /CONNECT call failed with status: (40\d)/,
    false,
    (_, [, status]) =>
      `the proxy refuses the connection (${status}): ${status === '407' ? 'put the login into HTTPS_PROXY (http://user:password@host:port)' : 'let it connect to this host and port'}, or name the host in NO_PROXY`,
  ],
  [
    /CONNECT call failed/,
    true,
    () => 'the proxy of HTTPS_PROXY or HTTP_PROXY does not get through; a host that needs none belongs into NO_PROXY',
  ],
  [
    /does not have permission|Unauthenticated|unauthorized|valid authentication/i,
    false,
    ({ apiKey, namespace }) =>
      `the server refuses ${apiKey === null ? 'a client without a key: set SEEUPO_TEMPORAL_API_KEY' : `the key in SEEUPO_TEMPORAL_API_KEY for namespace ${namespace} (SEEUPO_TEMPORAL_NAMESPACE)`}`,
  ],
  [
    /FRAME_SIZE_ERROR|http2 error|h2 protocol error|HTTP_1_1_REQUIRED/,
    false,
    ({ address }) =>
      `what answers at ${address} is no Temporal server (its gRPC port, 7233 as a rule, and not that of the Web UI?): correct SEEUPO_TEMPORAL_ADDRESS`,
  ],
  [
    // The last one is the same hang-up, seen a moment earlier: it depends on who is first.
    /close_notify|UnexpectedEof|broken ?pipe|reset by peer|ConnectionReset|connection closed/i,
    true,
    ({ tls }) =>
      tls === null
        ? 'the server hung up: if it speaks TLS, set SEEUPO_TEMPORAL_TLS=true'
        : tls.cert
          ? 'the server ended the handshake: does it trust the certificate in SEEUPO_TEMPORAL_TLS_CERT?'
          : 'the server ended the handshake: does it ask for a certificate (SEEUPO_TEMPORAL_TLS_CERT and ' +
            'SEEUPO_TEMPORAL_TLS_KEY)?',
  ],
  [/dns error|lookup address/, true, () => 'there is no host of this name: is SEEUPO_TEMPORAL_ADDRESS right?'],
  [
    /refused/i,
    true,
    ({ proxy }) =>
      proxy === null
        ? 'nobody listens there: is the server running, and is SEEUPO_TEMPORAL_ADDRESS right?'
        : 'the proxy of HTTPS_PROXY or HTTP_PROXY is not there; a host that needs none belongs into NO_PROXY',
  ],
];

/**
 * An error of connecting as a person reads it: what is wrong and which variable says so. {TemporalMisconfigured} if
 * it will not pass.
 */
export function connectionFault(error: unknown, settings: TemporalSettings): Error {
  const raw = (error instanceof Error ? error.message : String(error))
    .split(/\s*Stack backtrace:/)[0]!
    .replaceAll(/\s+/g, ' ');
  for (const [words, passes, remedy] of FAULTS) {
    const found = words.exec(raw);
    if (!found) continue;
    const said = remedy(settings, found);
    return passes
      ? new Error(`${said} (${raw})`, { cause: error })
      : new TemporalMisconfigured(`Temporal at ${settings.address} cannot be reached: ${said} (${raw})`, {
          cause: error,
        });
  }
  return new Error(raw, { cause: error });
}
