// A server of AgentEvolver's env_service protocol (environments' design notes, section 4) around the meeting-room example, as
// hostile as theirs: /step is not idempotent, /create replaces a live instance, faults arrive as text.
//   node agent-evolver-server.js PORT [LOSE]: executes the LOSE-th /step, but drops the connection instead of answering
import { createServer, type IncomingMessage } from 'node:http';
import { ModuleEnvironment } from '../../../../activities/environments/module-environment.js';
import { parseCalls } from '../../../../activities/rollout/tool-calls.js';

const [port, lose = '0'] = process.argv.slice(2);
const environment = new ModuleEnvironment('./meeting-room.ts', ['examples']);
const instances = new Map<string, { episodeId: string; steps: number; done: boolean }>();
let episodes = 0;
let steps = 0;

class Refused extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

interface Body {
  task_id?: string;
  instance_id?: string;
  messages?: { content: string };
  params?: { split?: string; sparse?: boolean };
}

const find = ({ instance_id: id }: Body) => {
  if (!id) throw new Refused(400, 'instance_id is required');
  const instance = instances.get(id);
  if (!instance) throw new Refused(400, `Instance ${id} not found!`);
  return instance;
};

const calls: Record<string, (body: Body) => Promise<unknown>> = {
  async '/get_env_profile'({ params }) {
    if (params?.split !== 'train' && params?.split !== 'val')
      throw new Refused(
        500,
        `Traceback (most recent call last):\n  File "env.py", line 1\nKeyError: '${params?.split}'`,
      );
    return (await environment.listTasks(params.split === 'train' ? 'train' : 'heldout')).map(({ id }) => id);
  },
  async '/create'({ instance_id: id, task_id: taskId }) {
    const episodeId = `episode-${episodes++}`;
    const { messages } = await environment.reset({ episodeId, taskId: taskId!, seed: 0 });
    instances.set(id!, { episodeId, steps: 0, done: false });
    return { state: messages, info: { instance_id: id, task_id: taskId } };
  },
  async '/step'(body) {
    const instance = find(body);
    if (instance.done)
      return {
        state: [{ role: 'user', content: '[ERROR] the conversation is over' }],
        reward: 0,
        is_terminated: false,
        info: {},
      };
    const { content } = body.messages!;
    const { messages, done } = await environment.step({
      episodeId: instance.episodeId,
      stepIndex: ++instance.steps,
      action: { content, calls: parseCalls(content, 'call-lines') },
    });
    instance.done = done;
    return {
      state: messages.map((message) => ({ ...message, tool_calls: [] })),
      reward: 0,
      is_terminated: done,
      info: {},
    };
  },
  async '/evaluate'(body) {
    const { score, success } = await environment.evaluate(find(body).episodeId);
    return body.params?.sparse ? Number(success) : { valid: true, accuracy: score, total_count: 1 };
  },
  async '/release'(body) {
    const { episodeId } = find(body);
    instances.delete(body.instance_id!);
    await environment.close(episodeId);
    return null;
  },
};

async function bodyOf(request: IncomingMessage): Promise<Body> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += String(piece);
  return JSON.parse(text === '' ? '{}' : text) as Body;
}

createServer((request, response) => {
  void (async () => {
    if (request.url === '/healthz') return response.end('OK');
    if (request.url === '/counts') return response.end(JSON.stringify({ instances: instances.size, steps }));
    const reply = (status: number, value: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    try {
      const data = await calls[request.url!]!(await bodyOf(request));
      if (request.url === '/step' && ++steps === Number(lose)) return request.socket.destroy();
      return reply(200, { success: true, data });
    } catch (error) {
      return error instanceof Refused
        ? reply(error.status, { detail: error.message })
        : reply(500, { detail: (error as Error).stack });
    }
  })();
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));
