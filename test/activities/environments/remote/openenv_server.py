"""An environment on OpenEnv's own server package: guess a number. Run as `openenv_server.py PORT [MAX_SESSIONS]`."""

import sys

import uvicorn
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field


class Guess(Action):
    number: int = Field(ge=0, le=999)


class Hint(Observation):
    hint: str


class GuessTheNumber(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None, goal: int = 0) -> Hint:
        self._goal = goal
        self._steps = 0
        return Hint(hint=f"a number up to 999, seed {seed}")

    def step(self, action: Guess) -> Hint:
        if action.number == 666:
            raise RuntimeError("the dice fell off the table")
        self._steps += 1
        away = self._goal - action.number
        hint = "right" if away == 0 else f"guess {self._steps}: {'higher' if away > 0 else 'lower'}"
        return Hint(hint=hint, reward=1.0 if away == 0 else 0.0, done=away == 0)

    @property
    def state(self) -> State:
        return State(step_count=self._steps)


app = create_app(GuessTheNumber, Guess, Hint, max_concurrent_envs=int(sys.argv[2]) if len(sys.argv) > 2 else 100)
if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
