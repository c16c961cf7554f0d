// Every method of the server API as a form, with the command line that does the same.

import { useState } from 'preact/hooks';
import { curl, json } from '../format';
import { href } from '../route';
import { commands, view, type Reply } from '../session';
import { Check, Code, Problem, Text, textOf, useLoad } from '../ui';

type Kind = 'string' | 'boolean' | 'integer' | 'strings' | 'json';

interface FieldOf {
  name: string;
  kind: Kind;
  required?: boolean;
}

interface Method {
  name: string;
  summary: string;
  fields?: FieldOf[];
}

const hints: Record<Kind, string> = {
  string: '', boolean: '', integer: 'a number', strings: 'one on each line', json: 'JSON',
};

export function ActionsPage({ params }: { params: URLSearchParams }) {
  const { value, error } = useLoad((signal) => view<{ methods: Method[] }>('methods', signal), 'methods');
  const methods = value?.methods ?? [];
  const method = methods.find(({ name }) => name === params.get('method')) ?? methods[0];
  return (
    <>
      <h1>Actions</h1>
      <Problem text={error} />
      {method && (
        <>
          <div class="field">
            <label for="method">Method</label>
            <select id="method" value={method.name} onChange={(e) => { location.hash = href('actions', { method: e.currentTarget.value }); }}>
              {methods.map(({ name }) => <option key={name} value={name}>{name}</option>)}
            </select>
          </div>
          <p>{method.summary}</p>
          <Form key={method.name} method={method} />
        </>
      )}
    </>
  );
}

function Form({ method }: { method: Method }) {
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [reply, setReply] = useState<Reply>();
  const [error, setError] = useState('');
  const fields = method.fields ?? [];
  let request: Record<string, unknown> | undefined;
  let invalid = '';
  try {
    request = requestOf(fields, texts);
  } catch (e) {
    invalid = textOf(e);
  }
  const submit = async (event: Event) => {
    event.preventDefault();
    setReply(undefined);
    setError(invalid);
    if (!request) return;
    try {
      setReply((await commands([{ method: method.name, params: request }]))[0]);
    } catch (e) {
      setError(textOf(e));
    }
  };
  return (
    <div class="columns">
      <form onSubmit={submit} aria-label={method.name}>
        {fields.map((field) => <Input key={field.name} field={field} text={texts[field.name] ?? ''} onText={(text) => setTexts({ ...texts, [field.name]: text })} />)}
        <button class="primary" data-testid="run">Call {method.name}</button>
        <Problem text={error} />
      </form>
      <div>
        <h2>Request</h2>
        {request && <Code label="curl command" testid="curl" text={curl(method.name, request)} />}
        {invalid && <p class="empty">{invalid}</p>}
        {reply && <h2>{reply.error ? 'Error' : 'Result'}</h2>}
        {reply && <Code label="answer" testid="answer" text={json(reply.error ?? reply.result)} />}
      </div>
    </div>
  );
}

function Input({ field, text, onText }: { field: FieldOf; text: string; onText(text: string): void }) {
  const label = field.required ? `${field.name} (required)` : field.name;
  if (field.kind === 'boolean') return <Check label={label} checked={text === 'true'} onChecked={(checked) => onText(checked ? 'true' : '')} />;
  return (
    <Text
      label={label} value={text} onValue={onText} hint={hints[field.kind]} required={field.required}
      rows={field.kind === 'json' || field.kind === 'strings' ? 3 : undefined} type={field.kind === 'integer' ? 'number' : 'text'} testid={`field-${field.name}`}
    />
  );
}

/** The request: what is empty is left out. */
function requestOf(fields: FieldOf[], texts: Record<string, string>): Record<string, unknown> {
  const request: Record<string, unknown> = {};
  for (const { name, kind } of fields) {
    const text = texts[name] ?? '';
    if (text === '') continue;
    switch (kind) {
      case 'string':
        request[name] = text;
        break;
      case 'boolean':
        request[name] = true;
        break;
      case 'integer':
        if (!/^-?\d+$/.test(text)) throw new Error(`${name} is not a whole number`);
        request[name] = Number(text);
        break;
      case 'strings':
        request[name] = text.split('\n').map((line) => line.trim()).filter(Boolean);
        break;
      case 'json':
        try {
          request[name] = JSON.parse(text);
        } catch (e) {
          throw new Error(`${name} is not JSON: ${textOf(e)}`);
        }
    }
  }
  return request;
}
