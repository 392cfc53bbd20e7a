/** Policies for the small world of AppWorld that set-up builds (scripts/setup/appworld/build_small_world.py). */

export const block = (code: string, thought = 'I write code.'): string => `${thought}\n\`\`\`python\n${code}\n\`\`\``;

const LOGIN = block(`me = apis.supervisor.show_profile()
password = next(account['password'] for account in apis.supervisor.show_account_passwords() if account['account_name'] == 'simple_note')
token = apis.simple_note.login(username=me['email'], password=password)['access_token']
print(me['first_name'])`);
const COMPLETE = block('apis.supervisor.complete_task()');

const addNote = (title: string, content: string): string[] => [
  LOGIN,
  block(`print(apis.simple_note.create_note(access_token=token, title='${title}', content='${content}')['message'])`),
  COMPLETE,
];
const countNotes = (tag: string): string[] => [
  LOGIN,
  block(
    `notes = apis.simple_note.search_notes(access_token=token, page_limit=20)\ncount = sum('${tag}' in note['tags'] for note in notes)\nprint(count)`,
  ),
  block('apis.supervisor.complete_task(answer=count)'),
];

/** Right responses to each task, in order: a scenario of two training tasks and one of two held-out ones. */
export const SOLUTIONS: Readonly<Record<string, readonly string[]>> = {
  '5ee0001_1': addNote('Storm glass', 'Fill it on Tuesday.'),
  '5ee0001_2': addNote('Brass hinge', 'Measure the door twice.'),
  '5ee0002_1': countNotes('travel'),
  '5ee0002_2': countNotes('workshop'),
};
