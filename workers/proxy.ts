import { BlockList, isIP } from 'node:net';
import { Agent, fetch as fetchOfUndici, ProxyAgent } from 'undici';

/**
 * HTTP proxies as the environment names them: HTTPS_PROXY for servers behind TLS, HTTP_PROXY for all others,
 * neither for those of NO_PROXY.
 */
export interface Proxies {
  readonly https: string | null;
  readonly http: string | null;
  /** Hosts, `.suffixes`, `host:port`, addresses and ranges (10.0.0.0/8), separated by commas; `*` is every host. */
  readonly except: string;
}

/** As curl and most programs take them, in capitals or not. */
export function proxiesOf(variables: Readonly<Record<string, string | undefined>>): Proxies {
  const of = (name: string): string | null => variables[name] || variables[name.toLowerCase()] || null;
  return { https: of('HTTPS_PROXY'), http: of('HTTP_PROXY'), except: of('NO_PROXY') ?? '' };
}

/** HTTPS_PROXY or HTTP_PROXY cannot be read. */
export class BadProxy extends Error {
  override name = 'BadProxy';
}

/**
 * The proxy between here and a server; null if there is none. Loopback is never proxied: a proxy's loopback is
 * another machine.
 *
 * @param target  protocol (`https:` for anything behind TLS), host and port of the server
 * @throws {BadProxy} if the variable that counts is no URL of an HTTP proxy; its value, which may have a password,
 * is not shown
 */
export function proxyFor(
  target: Pick<URL, 'protocol' | 'hostname' | 'port'>,
  { https, http, except }: Proxies,
): string | null {
  const secure = target.protocol === 'https:';
  const proxy = secure ? https : http;
  if (proxy === null || isLoopback(target.hostname) || isExcepted(target, except)) return null;
  const variable = secure ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const spelled = /^\w+:\/\//.test(proxy) ? proxy : `http://${proxy}`;
  if (URL.canParse(spelled) && new URL(spelled).protocol === 'http:') return new URL(spelled).href;
  throw new BadProxy(
    `${variable} is no HTTP proxy: expected http://host:port or http://user:password@host:port. Servers that need none belong into NO_PROXY`,
  );
}

const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, '').toLowerCase();

function isLoopback(hostname: string): boolean {
  const host = bare(hostname);
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '::1' ||
    (isIP(host) === 4 && host.startsWith('127.'))
  );
}

/** As curl reads NO_PROXY, and ranges besides. */
function isExcepted(
  { protocol, hostname, port }: Pick<URL, 'protocol' | 'hostname' | 'port'>,
  except: string,
): boolean {
  const host = bare(hostname);
  const at = port || (protocol === 'https:' ? '443' : '80');
  return except.split(/[\s,]+/).some((entry) => {
    if (entry === '') return false;
    if (entry === '*') return true;
    const range = /^([\d.]+|[\da-f:]+)\/(\d+)$/i.exec(entry);
    if (range) return inRange(host, range[1]!, Number(range[2]));
    const [, name, of] = /^(.*?)(?::(\d+))?$/.exec(isIP(bare(entry)) ? bare(entry) : entry)!;
    if (isIP(bare(entry)) === 6) return host === bare(entry);
    const suffix = name!.replace(/^\*?\./, '').toLowerCase();
    return (of === undefined || of === at) && (host === suffix || host.endsWith(`.${suffix}`));
  });
}

function inRange(host: string, network: string, prefix: number): boolean {
  const family = isIP(host);
  if (family === 0 || family !== isIP(network) || prefix > (family === 4 ? 32 : 128)) return false;
  const range = new BlockList();
  range.addSubnet(network, prefix, family === 4 ? 'ipv4' : 'ipv6');
  return range.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * `fetch` that goes through the proxies, asked anew for each host that it is sent on to; undefined, for the one of
 * Node, if there is none.
 */
export function fetchThrough(proxies: Proxies): typeof fetch | undefined {
  if (proxies.https === null && proxies.http === null) return undefined;
  const agents = new Map<string, ProxyAgent>();
  const dispatcher = new Agent().compose((direct) => (options, handler) => {
    const proxy = proxyFor(new URL(String(options.origin)), proxies);
    if (proxy === null) return direct(options, handler);
    let agent = agents.get(proxy);
    if (!agent) agents.set(proxy, (agent = new ProxyAgent(proxy)));
    return agent.dispatch(options, handler);
  });
  return ((input: never, init: object | undefined) =>
    fetchOfUndici(input, { ...init, dispatcher })) as unknown as typeof fetch;
}
