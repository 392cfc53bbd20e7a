"""Builds a small AppWorld data directory: our own people, notes and tasks, in the engine's own formats.

    APPWORLD_ROOT=DIR .runtime/venvs/appworld/bin/python scripts/setup/appworld/build_small_world.py

Everything in it is made here, through the engine's models and documentation: no task, person or value of the official
data. What it writes describes the engine's protected APIs, so it stays on this machine and is never committed.

Two scenarios of two tasks each: `train` writes a note, `dev` counts notes and answers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from appworld.apps import get_all_apps
from appworld.apps.model_lib import CachedDBHandler
from appworld.collections.api_docs import ApiDocCollection
from appworld.collections.models import ModelCollection
from appworld.common.constants import CANARY_STRING, DB_VERSION
from appworld.common.datetime import DateTime
from appworld.common.path_store import path_store
from appworld.common.utils import freeze_time, write_json

NOW = DateTime(2024, 3, 4, 9, 30, 0)
EMAIL_DOMAIN = "example.com"
PEOPLE: list[dict[str, Any]] = [
    {
        "first_name": "Ada",
        "last_name": "Quill",
        "phone_number": "5550100001",
        "birthday": "1991-02-03",
        "sex": "female",
    },
    {"first_name": "Bruno", "last_name": "Tarn", "phone_number": "5550100002", "birthday": "1988-11-12", "sex": "male"},
]
NOTES = {
    "Ada": [
        ("Lighthouse trip", "Take the red scarf.", ["travel"]),
        ("Gears", "Oil the small one.", ["workshop"]),
        ("Ferry", "Leaves at nine.", ["travel"]),
    ],
    "Bruno": [("Kiln", "Cone six.", ["workshop"])],
}
NO_OTHER_CHANGES = "assert model changes match simple_note.Note and nothing else"
EVALUATE_NOTE = f'''
def evaluate(test, public_data, private_data, main_user, models, ground_truth_answer):
    with test("{NO_OTHER_CHANGES}"):
        test.case(models.changed_model_names(), "==", {{"simple_note.Note"}})
    added, updated, removed = models.changed_records("simple_note.Note")
    with test("assert exactly one note was added"):
        test.case(len(added), "==", 1)
    with test("assert no note was updated or removed"):
        test.case(len(updated) + len(removed), "==", 0)
    with test("assert the note has the wanted title and content"):
        test.case([added[0].title, added[0].content], "==", [public_data.title, public_data.content])
'''
EVALUATE_COUNT = """
def evaluate(test, public_data, private_data, main_user, models, ground_truth_answer):
    with test("assert answers match"):
        test.answer(models.end.supervisor.Task.find_one().answer, ground_truth_answer)
    with test("assert no model changes"):
        test.case(models.changed_model_names(), "==", set())
"""
FAILS_IDLE, PASSES_IDLE = "no_op_fail", "no_op_pass"
NOTE_TESTS = [
    (NO_OTHER_CHANGES, FAILS_IDLE),
    ("assert exactly one note was added", FAILS_IDLE),
    ("assert no note was updated or removed", PASSES_IDLE),
    ("assert the note has the wanted title and content", FAILS_IDLE),
]
COUNT_TESTS = [("assert answers match", FAILS_IDLE), ("assert no model changes", PASSES_IDLE)]


def note_task(person: str, title: str, content: str) -> dict[str, Any]:
    instruction = f"Add a note titled '{title}' with the content '{content}' to my Simple Note account."
    return {
        "person": person,
        "instruction": instruction,
        "public": {"title": title, "content": content},
        "answer": None,
        "evaluation": EVALUATE_NOTE,
        "tests": NOTE_TESTS,
    }


def count_task(person: str, tag: str) -> dict[str, Any]:
    count = sum(tag in tags for _, _, tags in NOTES[person])
    instruction = f"How many notes in my Simple Note account have the tag '{tag}'?"
    return {
        "person": person,
        "instruction": instruction,
        "public": {"tag": tag},
        "answer": count,
        "evaluation": EVALUATE_COUNT,
        "tests": COUNT_TESTS,
    }


DATASETS: dict[str, dict[str, dict[str, Any]]] = {
    "train": {
        "5ee0001_1": note_task("Ada", "Storm glass", "Fill it on Tuesday."),
        "5ee0001_2": note_task("Bruno", "Brass hinge", "Measure the door twice."),
    },
    "dev": {"5ee0002_1": count_task("Ada", "travel"), "5ee0002_2": count_task("Bruno", "workshop")},
}


def email(person: dict[str, Any]) -> str:
    return f"{person['first_name'].lower()}@{EMAIL_DOMAIN}"


def password(person: dict[str, Any]) -> str:
    return f"{person['first_name'].lower()}-of-the-small-world"


def write_api_docs(data: Path) -> ApiDocCollection:
    docs = ApiDocCollection.build(tuple(get_all_apps(skip_admin=True)))
    folder = data / "api_docs" / "standard"
    folder.mkdir(parents=True)
    for app_name, api_docs in docs.items():
        written = {name: {**doc, "canary_string": CANARY_STRING} for name, doc in api_docs.items()}
        write_json(written, str(folder / f"{app_name}.json"), silent=True)
    return docs


def write_base_databases(data: Path, docs: ApiDocCollection) -> None:
    in_memory, folder = ":memory:base", data / "base_dbs"
    apps = get_all_apps()
    models = ModelCollection.load(to_db_home_path=in_memory, load_apps=apps, create_db=True)
    for person in PEOPLE:
        main_user = models.admin.MainUser(email=email(person), **person)
        main_user.save()
        models.admin.AccountPassword(
            main_user_id=main_user.id, account_name="simple_note", password=password(person)
        ).save()
        names = {key: person[key] for key in ("first_name", "last_name")}
        user = models.simple_note.User(email=email(person), password=password(person), verified=True, **names)
        user.save()
        for title, content, tags in NOTES[person["first_name"]]:
            models.simple_note.Note(user_id=user.id, title=title, content=content, tags=tags).save()
    rows = [
        models.api_docs.ApiDoc(
            app_name_=doc["app_name"],
            **{
                key: doc[key] for key in ("api_name", "path", "method", "description", "parameters", "response_schemas")
            },
        )
        for api_docs in docs.values()
        for doc in api_docs.values()
    ]
    models.api_docs.ApiDoc.save_all(rows)
    models.save(str(folder), format="full", app_names=apps, save_model_hashes=True)
    CachedDBHandler.reset()


def write_task(data: Path, task_id: str, task: dict[str, Any]) -> None:
    folder = data / "tasks" / task_id
    truth = folder / "ground_truth"
    truth.mkdir(parents=True)
    person = next(person for person in PEOPLE if person["first_name"] == task["person"])
    supervisor = {
        "first_name": person["first_name"],
        "last_name": person["last_name"],
        "email": email(person),
        "phone_number": person["phone_number"],
    }
    specs = {
        "instruction": task["instruction"],
        "supervisor": supervisor,
        "datetime": NOW.isoformat(),
        "db_version": DB_VERSION,
        "canary_string": CANARY_STRING,
    }
    write_json(specs, str(folder / "specs.json"), silent=True)

    in_memory, apps = f":memory:task_input-{task_id}", get_all_apps()
    models = ModelCollection.load(to_db_home_path=in_memory, from_db_home_path=str(data / "base_dbs"), load_apps=apps)
    models.start_db_tracker()
    boss = models.supervisor.Supervisor(birthday=person["birthday"], sex=person["sex"], **supervisor)
    boss.save()
    models.supervisor.AccountPassword(
        supervisor_id=boss.id, account_name="simple_note", password=password(person)
    ).save()
    models.supervisor.Task(supervisor_id=boss.id, instruction=task["instruction"]).save()
    models.save(str(folder / "dbs"), format="changes", app_names=apps, save_model_hashes=True)
    CachedDBHandler.reset()

    calls = {"num_apps": 1, "num_apis": 3, "num_api_calls": 3, "num_solution_code_lines": 4}
    write_json({"mode": "minimal", "difficulty": 1, **calls}, str(truth / "metadata.json"), silent=True)
    write_json(task["public"], str(truth / "public_data.json"), silent=True)
    write_json({}, str(truth / "private_data.json"), silent=True)
    write_json(
        [{"requirement": text, "label": label} for text, label in task["tests"]],
        str(truth / "test_data.json"),
        silent=True,
    )
    (truth / "answer.json").write_text(json.dumps(task["answer"]), encoding="utf-8")
    (truth / "evaluation.py").write_text(
        f"# Canary String: {CANARY_STRING}\n{task['evaluation'].lstrip()}", encoding="utf-8"
    )


def main() -> None:
    data = Path(path_store.data)
    data.mkdir(parents=True)
    with freeze_time(NOW):
        write_base_databases(data, write_api_docs(data))
        for tasks in DATASETS.values():
            for task_id, task in tasks.items():
                write_task(data, task_id, task)
    (data / "datasets").mkdir()
    for dataset, tasks in DATASETS.items():
        (data / "datasets" / f"{dataset}.txt").write_text("\n".join(tasks) + "\n", encoding="utf-8")
    print(f"small world: {sum(map(len, DATASETS.values()))} tasks in {os.fspath(data)}")


if __name__ == "__main__":
    main()
