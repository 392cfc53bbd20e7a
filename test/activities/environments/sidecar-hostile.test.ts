import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hostileActions } from '../../../activities/environments/conformance/hostile-actions.js';
import { EnvironmentProtocolError } from '../../../activities/environments/environment.js';
import type { EnvService } from '../../../activities/environments/env-service.js';
import { sidecarEnvironment } from '../../../activities/environments/registry.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import type { Action } from '../../../schemas/environment-protocol.js';
import { startSidecar, type Sidecar } from './sidecar-process.js';

/** Code that would leave a file behind, wherever a sloppy executor might run it. */
function planted(file: string): [string, Action][] {
  const code = `__import__('os').system('touch ${file}')`;
  const hermes = (call: object): Action => {
    const content = `<tool_call>\n${JSON.stringify(call)}\n</tool_call>`;
    return { content, calls: parseCalls(content, 'hermes') };
  };
  return [
    ['code as a name', hermes({ name: code, arguments: {} })],
    ['code behind a name', hermes({ name: `ls(${code}) or ls`, arguments: {} })],
    ['code as an argument name', hermes({ name: 'ls', arguments: { [`a=${code}, b`]: 1 } })],
    ['code as an argument', hermes({ name: 'cd', arguments: { folder: code } })],
    ['code that ends a string', hermes({ name: 'cd', arguments: { folder: `'+${code}+'` } })],
    ['code as a number', { content: '', calls: [{ name: 'cd', positional: [{ $number: code }], keyword: {} }] }],
    ['a builtin', hermes({ name: 'eval', arguments: { source: code } })],
    ['a builtin that opens files', hermes({ name: 'open', arguments: { file, mode: 'w' } })],
    ['a dunder of the simulator', hermes({ name: '__class__', arguments: {} })],
    ['a private method of the simulator', hermes({ name: '_load_scenario', arguments: { scenario: {} } })],
  ];
}

for (const [name, taskId] of [
  ['bfcl', 'multi_turn_base_0'],
  ['bfcl-windows', '8:0'],
] as const) {
  describe(`hostile actions on ${name}`, () => {
    let sidecar: Sidecar;
    let environment: EnvService;
    let canary: string;
    let episodes = 0;
    before(async () => {
      canary = path.join(await mkdtemp(path.join(tmpdir(), 'seeupo-hostile-')), 'executed');
      sidecar = await startSidecar({ environment: name });
      environment = sidecarEnvironment(name, sidecar.url);
    });
    after(() => sidecar.kill());

    /** `observation`, or the code of a typed error that no retry is made for. */
    async function answerTo(action: Action): Promise<string> {
      const episodeId = `hostile/${episodes++}`;
      await environment.reset({ episodeId, taskId, seed: 0 });
      try {
        const { messages } = await environment.step({ episodeId, stepIndex: 1, action });
        for (const { content } of messages) assert.ok(content.length < 110_000, 'an observation of bounded length');
        return 'observation';
      } catch (error) {
        assert.ok(error instanceof EnvironmentProtocolError, String(error));
        return error.code;
      } finally {
        await environment.close(episodeId);
      }
    }

    test('each gets an observation or a typed error, and the sidecar lives on', async () => {
      for (const [what, action] of hostileActions(environment.callFormat)) {
        assert.match(await answerTo(action), /^(observation|bad_request)$/, what);
      }
      assert.equal(await answerTo({ content: 'still there?', calls: [] }), 'observation');
    });

    test('code is never executed, and nothing outside the offered tools is reached', async () => {
      for (const [what, action] of planted(canary)) {
        assert.equal(await answerTo(action), 'observation', what);
        assert.ok(!existsSync(canary), what);
      }
    });

    test('a request that is no HTTP, or no JSON of the protocol, is refused, and the sidecar lives on', async () => {
      const post = (body: string, type = 'application/json') =>
        fetch(`${sidecar.url}/step`, { method: 'POST', body, headers: { 'content-type': type } });
      for (const body of [
        '',
        '[]',
        '{',
        '\u0000',
        '{"episodeId": NaN}',
        `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
      ]) {
        assert.equal((await post(body)).status, 400, JSON.stringify(body.slice(0, 20)));
      }
      assert.equal((await post('{}', 'text/plain')).status, 415);
      assert.equal((await fetch(`${sidecar.url}/step`, { method: 'PUT', body: '{}' })).status, 405);
      assert.equal((await fetch(`${sidecar.url}/nothing`)).status, 404);
      assert.equal((await fetch(`${sidecar.url}/healthz`)).status, 200);
    });
  });
}
