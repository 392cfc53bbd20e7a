// An assistant that books meeting rooms: state that tools change, several tools, tasks in a JSONL file, several user turns.
//   npm run quickstart -- --environment examples/meeting-room.ts
import { defineEnvironment, ToolError, z } from 'seeupo/environment';

const Hour = z.int().min(8).max(17);
const Booking = z.object({ room: z.string(), hour: Hour, who: z.string() });
/** What one user turn asks for, and how the calendar must look after it. */
const Wish = z.object({
  say: z.string(),
  /** Bookings that must be there, and must not be there any more. */
  booked: z.array(Booking).default([]),
  cancelled: z.array(Booking).default([]),
  /** The reference answer to this turn. */
  answer: z.string(),
});

export default defineEnvironment({
  name: 'meeting-room',
  task: z.object({
    rooms: z.record(z.string(), z.number()),
    calendar: z.array(Booking),
    wishes: z.array(Wish).min(1).max(4),
  }),
  tasks: './meeting-room.jsonl',
  turns: ({ wishes }) => wishes.length,
  start: ({ calendar }) => ({ calendar, met: [] as boolean[] }),
  prompt: ({ wishes }) => wishes[0]!.say,
  tools: {
    rooms: {
      description: 'rooms and their seats',
      parameters: z.object({}),
      run: (_, { task }) => task.rooms,
    },
    free: {
      description: 'rooms that are free at an hour',
      parameters: z.object({ hour: Hour }),
      run: ({ hour }, { task, state }) =>
        Object.keys(task.rooms).filter((room) => !state.calendar.some((b) => b.room === room && b.hour === hour)),
    },
    book: {
      description: 'books a room for one hour',
      parameters: Booking,
      run(booking, { task, state }) {
        if (!Object.hasOwn(task.rooms, booking.room))
          throw new ToolError(`there is no room ${booking.room}, there are ${Object.keys(task.rooms).join(', ')}`);
        const taken = state.calendar.find(({ room, hour }) => room === booking.room && hour === booking.hour);
        if (taken) throw new ToolError(`${booking.room} is taken by ${taken.who} at ${booking.hour}`);
        state.calendar.push(booking);
        return 'booked';
      },
    },
    cancel: {
      description: 'gives a booking back',
      parameters: z.object({ room: z.string(), hour: Hour }),
      run({ room, hour }, { state }) {
        const at = state.calendar.findIndex((b) => b.room === room && b.hour === hour);
        if (at < 0) throw new ToolError(`${room} is not booked at ${hour}`);
        const [given] = state.calendar.splice(at, 1);
        return `cancelled ${given!.who}`;
      },
    },
  },
  // Each response answers one wish: it is judged here, and the episode ends at the first that is not met.
  next({ task, state, turns }) {
    const wish = task.wishes[turns.length - 1]!;
    const has = ({ room, hour, who }: z.infer<typeof Booking>) =>
      state.calendar.some((b) => b.room === room && b.hour === hour && b.who === who);
    const before =
      task.calendar.length + sum(task.wishes.slice(0, turns.length).map((w) => w.booked.length - w.cancelled.length));
    state.met.push(wish.booked.every(has) && !wish.cancelled.some(has) && state.calendar.length === before);
    return state.met.at(-1) ? (task.wishes[turns.length]?.say ?? null) : null;
  },
  verify({ task, state }) {
    const met = state.met.filter(Boolean).length;
    return { score: met / task.wishes.length, success: met === task.wishes.length, turnsPassed: state.met };
  },
  solve: ({ wishes }) => wishes.map(({ answer }) => answer),
});

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);
