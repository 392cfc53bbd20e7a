"""What an AppWorld agent reads: how code is written and run, a worked example, and its task.

ReAct as the benchmark's and the paper's agents: think, write one block of Python, read its output, go on. The words and
the example are ours; the form of blocks and of outputs is theirs.
"""

from __future__ import annotations

import re
from typing import Any

Message = dict[str, str]

NO_BLOCK = (
    "No code was executed: the response has no code block. Write one that begins with ```python and ends with ```."
)
INSTRUCTIONS = """\
You are the assistant of {name} and do a task for them, alone, by writing Python code that is run for you.

The code reaches their apps through the object `apis`: `apis.<app>.<api>(<arguments>)`. Apps have an API each for what \
a person can do in them; three more calls tell you which there are:
- `apis.api_docs.show_app_descriptions()`: the apps
- `apis.api_docs.show_api_descriptions(app_name=...)`: the APIs of an app
- `apis.api_docs.show_api_doc(app_name=..., api_name=...)`: arguments and result of one API
The app `supervisor` knows {name}'s profile, passwords, addresses and payment cards.

Rules:
1. A response is a short thought and then ONE code block, which begins with ```python and ends with ```. Only the \
first block is run. What it prints comes back to you; variables stay for the next block.
2. Look an API up before you call it for the first time. Apps other than `api_docs` and `supervisor` want the \
`access_token` that their `login` gives.
3. Lists come in pages: go through all of them. Take ids, names and dates from what the apps say, never from memory.
4. Nobody answers questions. Change what the task asks for and nothing else.
5. When the task is done, call `apis.supervisor.complete_task()`; if it asked for an answer, \
`apis.supervisor.complete_task(answer=<the bare answer>)`. Nothing can be done after that.

Here is an example, of another person.

Task: How many files are in the folder ~/recipes of my file system?

Response: I need the password of the file system first.
```python
print(apis.supervisor.show_account_passwords())
```
Output:
```
[{{"account_name": "file_system", "password": "blue-kettle"}}]
```

Response: Now the arguments of the login and of the listing.
```python
print(apis.api_docs.show_api_doc(app_name='file_system', api_name='login')['parameters'])
print(apis.api_docs.show_api_doc(app_name='file_system', api_name='show_directory')['parameters'])
```
Output:
```
[{{"name": "username", "required": true}}, {{"name": "password", "required": true}}]
[{{"name": "access_token", "required": true}}, {{"name": "directory_path"}}, {{"name": "entry_type"}}, \
{{"name": "recursive"}}]
```

Response: I log in with the e-mail address, and count the files of that folder alone.
```python
email = apis.supervisor.show_profile()['email']
token = apis.file_system.login(username=email, password='blue-kettle')['access_token']
files = apis.file_system.show_directory(access_token=token, directory_path='~/recipes', entry_type='files', \
recursive=False)
print(len(files))
```
Output:
```
12
```

Response: That is the answer.
```python
apis.supervisor.complete_task(answer=12)
```"""
TASK = (
    "My name is {name}, my e-mail address is {email} and my phone number is {phone_number}. It is {datetime}.\n\n"
    "Task: {instruction}"
)
_BLOCK = re.compile(r"```python[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL)


def conversation(specification: dict[str, Any]) -> list[Message]:
    """System and user message of a task.

    @param specification  the task's specs.json: instruction, supervisor, datetime
    """
    supervisor = specification["supervisor"]
    name = f"{supervisor['first_name']} {supervisor['last_name']}"
    about = {"name": name, "email": supervisor["email"], "phone_number": supervisor["phone_number"]}
    asked = TASK.format(**about, datetime=specification["datetime"], instruction=specification["instruction"])
    return [{"role": "system", "content": INSTRUCTIONS.format(name=name)}, {"role": "user", "content": asked}]


def output_message(output: str) -> Message:
    return {"role": "user", "content": f"Output:\n```\n{output}```\n\n"}
