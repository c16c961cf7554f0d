// The effective configuration of the node that serves this page.

import { useState } from 'preact/hooks';
import { view } from '../session';
import { Check, Problem, Table, Text, useLoad } from '../ui';

interface Value {
  key: string;
  value: string;
  source: 'default' | 'file' | 'environment' | 'flag' | 'server';
  secret?: boolean;
  no_effect?: string;
}

interface Configuration {
  node: string;
  values: Value[];
}

export function ConfigurationPage() {
  const [text, setText] = useState('');
  const [all, setAll] = useState(false);
  const { value, error } = useLoad((signal) => view<Configuration>('configuration', signal), 'configuration');
  const rows = (value?.values ?? []).filter((v) => (all || v.source !== 'default') && v.key.includes(text.trim().toLowerCase()));
  return (
    <>
      <h1>Configuration</h1>
      {value && <p>In force on the node {value.node}. Secrets are hidden.</p>}
      <form class="bar" role="search" onSubmit={(e) => e.preventDefault()}>
        <Text label="Key" value={text} onValue={setText} placeholder="all keys" testid="key" />
        <Check label="Show defaults too" checked={all} onChecked={setAll} />
      </form>
      <Problem text={error} />
      <Table
        caption="Configuration"
        rows={rows}
        id={(v) => v.key}
        empty={value ? 'No key that is set matches.' : error ? '' : 'Loading…'}
        columns={[
          { title: 'Key', cell: (v) => <code>{v.key}</code> },
          { title: 'Value', cell: (v) => (v.secret ? <em>{v.value ? 'set, hidden' : 'not set'}</em> : <code>{v.value}</code>) },
          { title: 'From', cell: (v) => <span class={`badge ${v.source}`}>{v.source}</span> },
          { title: 'Note', cell: (v) => (v.no_effect ? `without effect: ${v.no_effect}` : '') },
        ]}
      />
    </>
  );
}
