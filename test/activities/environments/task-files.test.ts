import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, test } from 'node:test';
import { z } from '../../../activities/environments/api.js';
import { ModuleEnvironment } from '../../../activities/environments/module-environment.js';
import { readTasks } from '../../../activities/environments/task-list.js';

let folder: string;
before(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'seeupo-files-'))));

const schema = z.object({ goal: z.number(), hint: z.string().optional() });
async function read(content: string | Buffer, turns: number | ((task: never) => number) = 2) {
  await writeFile(path.join(folder, 'tasks.jsonl'), content);
  return readTasks(
    { name: 'files', task: schema, tasks: 'tasks.jsonl', turns: turns as number },
    { folder, file: (relative) => path.join(folder, relative) },
  );
}
const line = (id: string, rest = '"goal": 3') => `{"id": "${id}", "split": "train", ${rest}}`;

test('task files of any system are read: a byte order mark, CRLF, CR alone, doubled CRs, U+2028 in a text', async () => {
  for (const content of [
    `\ufeff${line('a')}\n`,
    `${line('a')}\r\n\r\n`,
    `${line('a')}\r${line('b')}\r`,
    `${line('a')}\r\r\n${line('b')}\r\r\n`,
    line('a', '"goal": 3, "hint": "x\u2028y"'),
  ]) {
    const known = await read(content);
    assert.deepEqual([...known.keys()], content.includes('"b"') ? ['a', 'b'] : ['a'], JSON.stringify(content));
  }
});

test('a task file that is no UTF-8 is refused, never read with other characters', async () => {
  await assert.rejects(read(Buffer.from(`${line('a')}\n${line('b', '"goal": 3, "hint": "Größe"')}`, 'latin1')), {
    name: 'BadConfig',
    message:
      /^tasks: .*tasks\.jsonl: is no UTF-8: line 2, byte \d+ of the file, is 0xf6, after .*"Gr" \(Latin-1 or Windows-1252\?\): save it as UTF-8$/,
  });
  await assert.rejects(read(Buffer.from(line('a'), 'utf16le')), {
    name: 'BadConfig',
    message: /tasks\.jsonl: is UTF-16 \(little-endian\) text, expected UTF-8/,
  });
});

test('a misspelt field of a task is told with the name that was meant; a field that nothing reads is left out', async () => {
  await assert.rejects(read(line('a', '"gaol": 3')), {
    message: /line 1: gaol is no field of a task: did you mean goal\?; .*goal/,
  });
  await assert.rejects(read(line('a', '"goal": 3, "hnit": "x"')), {
    message: /line 1: hnit is no field of a task: did you mean hint\?/,
  });
  assert.deepEqual((await read(line('a', '"goal": 3, "source": "a dataset", "goals": [1]'))).get('a')!.fields, {
    goal: 3,
  });
});

test('wrong tasks are told together, the first five of them', async () => {
  const wrong = Array.from({ length: 7 }, (_, n) => line(`t${n}`, '"goal": "x"'));
  await assert.rejects(read([...wrong, '5', line('a')].join('\n')), {
    message: /^environment files, .*line 1: .*line 5: [^;]*; and 3 more tasks are wrong$/,
  });
  await assert.rejects(read(`${line('a')}\n${line('a')}`), { message: /line 2: id "a" is taken/ });
  await assert.rejects(read(`[\n${line('a')}\n]`), { message: /tasks\.jsonl: is a JSON array, expected JSON Lines/ });
  await assert.rejects(read('\n\n'), { message: /tasks\.jsonl has no line with a task/ });
});

test('turns are a whole number from 1, or the task is named', async () => {
  for (const [turns, word] of [
    [() => 0, 'the number 0'],
    [() => 1.5, 'the number 1.5'],
    [() => NaN, 'NaN'],
    [() => Promise.resolve(1) as never, 'a Promise'],
  ] as const) {
    await assert.rejects(read(line('a'), turns), {
      message: new RegExp(`line 1: task a: turns gave ${word}, expected a whole number from 1`),
    });
  }
  const throwing = ({ moves }: { moves: unknown[] }) => moves.length;
  await assert.rejects(read(line('a'), throwing), {
    message: /line 1: task a: turns threw TypeError: .*reading 'length'/,
  });
});

const module = async (name: string, content: string | Buffer) => {
  await writeFile(path.join(folder, name), content);
  return new ModuleEnvironment(`./${name}`, [folder]).listTasks('train');
};
const source = (imports: string, rest = '') => `
  ${imports}
  export default defineEnvironment({ name: 'm', task: z.object({ goal: z.number() }), tasks: [{ id: 'a', split: 'train', goal: 3 }], turns: 1, prompt: () => 'Größe',
    tools: { add: { parameters: z.object({ n: z.number() }), run: () => 1 } }, verify: () => 1 ${rest} });`;

test('a module may import zod by any of its names; a schema of zod 3 is told', async () => {
  for (const specifier of ['zod', 'zod/v4', 'zod/mini', 'zod/v4-mini']) {
    const imports = `import { defineEnvironment } from 'seeupo/environment'; import * as z from '${specifier}';`;
    assert.deepEqual(await module('zod.ts', source(imports)), [{ id: 'a', split: 'train', turns: 1 }], specifier);
  }
  const three = `import { defineEnvironment } from 'seeupo/environment'; import { z } from 'zod/v3';`;
  await assert.rejects(module('zod3.ts', source(three)), {
    name: 'BadConfig',
    message: /task is a ZodObject of zod 3, expected z\.object\(.*of zod 4: import \{ z \} from 'seeupo\/environment'/,
  });
});

test('a module is UTF-8, with or without a byte order mark', async () => {
  const imports = `import { defineEnvironment, z } from 'seeupo/environment';`;
  assert.equal((await module('bom.ts', `\ufeff${source(imports)}`)).length, 1);
  await assert.rejects(module('latin1.ts', Buffer.from(source(imports), 'latin1')), {
    name: 'BadConfig',
    message: /latin1\.ts could not be loaded: .*is no UTF-8: line 3/,
  });
});

test('a relative path that leads nowhere is told with the folder that it starts from', async () => {
  const imports = `import { readFileSync } from 'node:fs'; import { defineEnvironment, z } from 'seeupo/environment'; const words = readFileSync('./no-words.txt', 'utf8');`;
  await assert.rejects(module('relative.ts', source(imports)), {
    name: 'BadConfig',
    message:
      /the path ".\/no-words.txt" is relative to the folder that the process runs in, .*: write new URL\(".\/no-words.txt", import.meta.url\)/,
  });
});
