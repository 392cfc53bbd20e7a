import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Action, Observation } from '../../../schemas/environment-protocol.js';
import { EnvService } from '../../../activities/environments/env-service.js';
import { EnvironmentProtocolError, EpisodeLost } from '../../../activities/environments/environment.js';
import { parseCalls } from '../../../activities/rollout/tool-calls.js';
import { startSidecar, type Sidecar } from './sidecar-process.js';

const act = (content: string): Action => ({ content, calls: parseCalls(content, 'call-lines') });
const client = (sidecar: Sidecar, taskSet?: string): EnvService =>
  new EnvService({ name: 'bfcl-windows', url: sidecar.url, ...(taskSet === undefined ? {} : { taskSet }) });

describe('the BFCL windows sidecar', () => {
  let sidecar: Sidecar;
  let environment: EnvService;
  let episodes = 0;

  before(async () => {
    sidecar = await startSidecar();
    environment = client(sidecar);
  });
  after(() => sidecar.kill());

  const begin = async (taskId: string): Promise<string> => {
    const episodeId = `test/${episodes++}`;
    await environment.reset({ episodeId, taskId, seed: 0 });
    return episodeId;
  };
  const play = (episodeId: string, stepIndex: number, content: string): Promise<Observation> =>
    environment.step({ episodeId, stepIndex, action: act(content) });
  const rejected =
    (code: string) =>
    (error: unknown): boolean =>
      error instanceof EnvironmentProtocolError && error.code === code;

  test('the train and held-out windows of a task set share no task, and the sets are data', async () => {
    const ids = async (split: 'train' | 'heldout'): Promise<string[]> =>
      (await environment.listTasks(split)).map(({ id }) => id);
    assert.deepEqual(await ids('train'), ['8:0', '11:0', '21:0', '33:0', '33:1', '42:0', '43:0', '87:0']);
    assert.equal((await ids('heldout')).length, 12);
    assert.ok((await ids('heldout')).every((id) => Number(id.split(':')[0]) >= 100));
    const three = await client(sidecar, 'three-turns').listTasks('train');
    assert.deepEqual(
      three.map(({ turns }) => turns),
      [2, 2, 2, 2, 3, 3, 3, 3],
    );
    await assert.rejects(
      client(sidecar, 'nope').listTasks('train'),
      /'nope' is unknown, expected one of \['chaos', 'quickstart', 'smoke', 'three-turns'\]/,
    );
  });

  test('a prompt is tools, two examples, the user turn; the result and the next user turn follow a right response', async () => {
    const { messages, done } = await environment.reset({ episodeId: 'layout', taskId: '42:0', seed: 0 });
    assert.equal(done, false);
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['system', 'user', 'assistant', 'user', 'assistant', 'user'],
    );
    assert.match(messages[0]!.content, /^Tools:\n(\w+\([^)]*\)\n){4}Answer with CALL lines only\.$/);
    const next = await play('layout', 1, "CALL touch('Notes2023.txt')");
    assert.equal(next.done, false);
    assert.match(next.messages[0]!.content, /^Result: None\nInside 'Notes2023\.txt'/);
  });

  test('a wrong first turn ends the episode with 0, a wrong second with 1/2, two right ones with 1', async () => {
    const first = "CALL touch('Notes2023.txt')";
    const second = "CALL echo('Study diligently, practice programming, master algorithms.', 'Notes2023.txt')";
    const score = async (...contents: string[]): Promise<unknown> => {
      const id = await begin('42:0');
      let done = false;
      for (const [index, content] of contents.entries()) ({ done } = await play(id, index + 1, content));
      assert.equal(done, true);
      return environment.evaluate(id);
    };
    assert.deepEqual(await score('CALL touch("other.txt")'), { score: 0, success: false, turnsPassed: [false] });
    assert.deepEqual(await score('I cannot do that.'), { score: 0, success: false, turnsPassed: [false] });
    assert.deepEqual(await score(first, 'CALL cat("Notes2023.txt")'), {
      score: 0.5,
      success: false,
      turnsPassed: [true, false],
    });
    assert.deepEqual(await score(first, second), { score: 1, success: true, turnsPassed: [true, true] });
  });

  test('a window that plays on has all its turns, and a turn that is right after a wrong one earns nothing', async () => {
    const id = await begin('87:0:3:on');
    const dones: boolean[] = [];
    for (const [index, content] of ['CALL displayCarStatus()', 'no call', 'no call'].entries())
      dones.push((await play(id, index + 1, content)).done);
    assert.deepEqual(dones, [false, false, true]);
    const { score, turnsPassed } = await environment.evaluate(id);
    assert.equal(score, 0);
    assert.equal(turnsPassed.length, 3);
  });

  test('a repeated step gets the stored reply and is executed once', async () => {
    const id = await begin('42:0');
    const once = await play(id, 1, "CALL touch('Notes2023.txt')");
    assert.deepEqual(await play(id, 1, "CALL touch('Notes2023.txt')"), once); // executed again, touch would report an error
    assert.equal(
      (await play(id, 2, "CALL echo('Study diligently, practice programming, master algorithms.', 'Notes2023.txt')"))
        .done,
      true,
    );
    assert.equal((await environment.evaluate(id)).score, 1);
  });

  test('another action at a used index, a gap, and a step after the end are conflicts', async () => {
    const id = await begin('42:0');
    await assert.rejects(play(id, 2, 'CALL ls()'), rejected('step_conflict'));
    await play(id, 1, 'CALL ls()');
    await assert.rejects(play(id, 1, 'CALL pwd()'), rejected('step_conflict'));
    await assert.rejects(play(id, 2, 'CALL ls()'), rejected('step_conflict'));
  });

  test('two episodes of one task do not share a state', async () => {
    const [a, b] = [await begin('42:0'), await begin('42:0')];
    const first = await play(a, 1, "CALL touch('Notes2023.txt')");
    assert.deepEqual(await play(b, 1, "CALL touch('Notes2023.txt')"), first);
  });

  test('unknown episodes, tasks, paths and malformed requests are typed errors', async () => {
    await assert.rejects(play('nobody', 1, 'CALL ls()'), EpisodeLost);
    await assert.rejects(environment.evaluate('nobody'), EpisodeLost);
    await environment.close('nobody');
    await assert.rejects(begin('0:0'), rejected('unknown_task'));
    await assert.rejects(environment.reset({ episodeId: 'bad id', taskId: '42:0', seed: 0 }), rejected('bad_request'));
    const raw = (body: string, type = 'application/json', path = '/step'): Promise<Response> =>
      fetch(new URL(path, sidecar.url), { method: 'POST', body, headers: { 'content-type': type } });
    for (const body of [
      '',
      '[',
      '[]',
      '{}',
      '{"a":NaN}',
      '['.repeat(200_000),
      '{"episodeId":"a","stepIndex":true,"action":{}}',
    ]) {
      assert.equal((await raw(body)).status, 400, body.slice(0, 40));
    }
    assert.equal((await raw('{}', 'text/plain')).status, 415);
    assert.equal((await raw('{}', 'application/json', '/eval')).status, 404);
    assert.equal(await (await fetch(new URL('/healthz', sidecar.url))).text(), 'OK');
  });

  test('an action of 10 MB is a typed error and the sidecar lives on', async () => {
    const id = await begin('42:0');
    await assert.rejects(
      play(id, 1, 'x'.repeat(10_000_000)),
      (error) => error instanceof Error && error.name.startsWith('Environment'),
    );
    assert.equal((await play(id, 1, "CALL touch('Notes2023.txt')")).done, false);
  });

  describe('hostile and mistaken calls are answered and never executed', () => {
    const mark = `/tmp/seeupo-hostile-${process.pid}`;
    const answerTo = async (call: object): Promise<string> => {
      const id = await begin('42:0');
      const { messages } = await environment.step({
        episodeId: id,
        stepIndex: 1,
        action: { content: '', calls: [call as never] },
      });
      assert.equal((await environment.evaluate(id)).score, 0);
      assert.equal(existsSync(mark), false, 'the call was executed');
      return messages[0]!.content;
    };
    const call = (name: string, positional: unknown[] = [], keyword: object = {}): object => ({
      name,
      positional,
      keyword,
    });

    for (const name of [
      `__import__('os').system('touch ${mark}') or ls`,
      '__class__',
      '_load_scenario',
      '__init__',
      'ls.__call__',
      'globals',
      'eval',
      'exit',
      'mv',
      '',
    ]) {
      test(`name ${JSON.stringify(name.slice(0, 24))}`, async () =>
        assert.match(await answerTo(call(name)), /^Result: Error: .* is not a tool, the tools are /));
    }

    test('argument names that are code', async () => {
      assert.match(
        await answerTo(call('touch', [], { [`x=__import__('os').system('touch ${mark}')`]: 1 })),
        /is no argument name/,
      );
    });

    test('argument names and numbers of arguments that the function does not have', async () => {
      assert.match(await answerTo(call('touch', [], { nope: 1 })), /unexpected keyword argument 'nope'/);
      assert.match(await answerTo(call('touch')), /missing 1 required positional argument: 'file_name/);
      assert.match(await answerTo(call('touch', ['a', 'b', 'c'])), /takes 2 positional arguments but 4 were given/);
    });

    test('arguments of another type, hundreds of thousands of characters, or no number', async () => {
      assert.match(await answerTo(call('touch', ['x'.repeat(500_000)])), /the limit is 10000/);
      assert.match(await answerTo(call('touch', [{ $number: "__import__('os')" }])), /is no number/);
      assert.match(await answerTo(call('touch', [{ $number: '9'.repeat(5000) }])), /is no number/);
      assert.match(await answerTo(call('cd', [['a', null, { b: 1 }]])), /^Result: /);
    });

    test('arguments nested too deeply for the protocol', async () => {
      const deep = JSON.parse(`${'['.repeat(60)}${']'.repeat(60)}`) as never;
      const id = await begin('42:0');
      await assert.rejects(
        environment.step({
          episodeId: id,
          stepIndex: 1,
          action: { content: '', calls: [{ name: 'touch', positional: [deep], keyword: {} }] },
        }),
        rejected('bad_request'),
      );
    });

    test('a fifth call is not executed, and the response is told', async () => {
      const id = await begin('42:0');
      const { messages } = await play(
        id,
        1,
        ["CALL touch('1')", "CALL touch('2')", "CALL touch('3')", "CALL touch('4')", "CALL touch('5')"].join('\n'),
      );
      assert.equal(
        messages[0]!.content,
        `${'Result: None\n'.repeat(4)}Result: Error: 5 calls in one response, only the first 4 were executed`,
      );
    });

    test('a line that is no call, with what was expected', async () => {
      const id = await begin('42:0');
      assert.match(
        (await play(id, 1, 'CALL touch(open("x"))')).messages[0]!.content,
        /^Result: Error: line 1: open is no value; quote a text .*expected e\.g\. CALL cd\('plans'\)/,
      );
    });
  });

  test('demonstrations: leading turns of other training tasks, as calls that parse, with the targets marked', async () => {
    const demonstrations = await environment.demonstrations();
    assert.equal(demonstrations.length, 71);
    for (const { taskId, messages, firstTarget } of demonstrations) {
      assert.ok(Number(taskId.split(':')[0]) < 100, taskId);
      assert.ok(![4, 8, 11, 21, 25, 33, 37, 42, 43, 87, 92].includes(Number(taskId.split(':')[0])), taskId);
      assert.deepEqual(
        [messages[0]!.role, messages[firstTarget - 1]!.role, messages[firstTarget]!.role],
        ['system', 'user', 'assistant'],
      );
      for (const { content } of messages.filter(({ role }) => role === 'assistant')) {
        const calls = parseCalls(content, 'call-lines');
        assert.equal(calls.length, content.split('\n').length, content);
        assert.ok(
          calls.every((call) => 'name' in call),
          content,
        );
      }
    }
  });

  test('a window that starts later shows what the turn before it returned', async () => {
    const { messages } = await environment.reset({ episodeId: 'later-window', taskId: '33:1', seed: 0 });
    assert.match(messages.at(-1)!.content, /^Result: \{"current_directory_content": \["deploy\.py"\]\}\nUse grep/);
  });

  test('no window is asked in its own examples, and none is a target of a demonstration', async () => {
    const windowTurns = new Set<string>();
    const last = (content: string): string => content.split('\n').at(-1)!; // behind the results
    let examples = 0;
    for (const taskSet of ['quickstart', 'three-turns']) {
      for (const split of ['train', 'heldout'] as const) {
        for (const { id } of await client(sidecar, taskSet).listTasks(split)) {
          const { messages } = await environment.reset({ episodeId: `examples/${id}`, taskId: id, seed: 0 });
          const users = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
          const own = last(users.at(-1)!);
          windowTurns.add(own);
          const shown = users.slice(0, users.length - 1 - Number(id.split(':')[1]));
          examples += shown.length;
          assert.ok(!shown.includes(own), id);
        }
      }
    }
    const targets = (await environment.demonstrations()).flatMap(({ messages, firstTarget }) =>
      messages
        .slice(firstTarget - 1)
        .filter(({ role }) => role === 'user')
        .map(({ content }) => last(content)),
    );
    assert.ok(windowTurns.size > 15 && targets.length > 100 && examples > 30);
    assert.deepEqual(
      targets.filter((text) => windowTurns.has(text)),
      [],
    );
  });
});

test('everything the sidecar says is the same for any PYTHONHASHSEED', async () => {
  const said = async (hashSeed: string): Promise<unknown> => {
    const sidecar = await startSidecar({ hashSeed });
    try {
      const environment = client(sidecar);
      const tasks = [...(await environment.listTasks('train')), ...(await environment.listTasks('heldout'))];
      const observations = [];
      for (const { id } of tasks) {
        observations.push(await environment.reset({ episodeId: id, taskId: id, seed: 0 }));
        observations.push(
          await environment.step({
            episodeId: id,
            stepIndex: 1,
            action: act("CALL ls(True)\nCALL nope('x')\nCALL get_watchlist()"),
          }),
        );
      }
      return { observations, demonstrations: await environment.demonstrations() };
    } finally {
      await sidecar.kill();
    }
  };
  assert.deepEqual(await said('1'), await said('2'));
});

test('live episodes are bounded: one more is refused with 429, which the client calls unavailable', async () => {
  const sidecar = await startSidecar({ args: ['--max-episodes', '2'] });
  try {
    const environment = client(sidecar);
    const reset = (episodeId: string): Promise<Observation> =>
      environment.reset({ episodeId, taskId: '42:0', seed: 0 });
    await reset('a');
    await reset('b');
    await assert.rejects(reset('c'), { name: 'EnvironmentUnavailable' });
    await environment.close('a');
    await reset('c');
  } finally {
    await sidecar.kill();
  }
});

test('an idle episode expires, and is lost to its owner until restored', async () => {
  const sidecar = await startSidecar({ args: ['--idle-expiry', '0.1'] });
  try {
    const environment = client(sidecar);
    await environment.reset({ episodeId: 'idle', taskId: '42:0', seed: 0 });
    await new Promise((resolve) => setTimeout(resolve, 250));
    await environment.reset({ episodeId: 'other', taskId: '42:0', seed: 0 });
    await assert.rejects(environment.evaluate('idle'), EpisodeLost);
  } finally {
    await sidecar.kill();
  }
});
