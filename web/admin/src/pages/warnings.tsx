// What is insecure, what is near a limit, and what the configuration does not achieve.

import { count } from '../format';
import { view } from '../session';
import { Notice, Problem, Table, useLoad } from '../ui';

const INTERVAL = 5000; // ms

interface Warning {
  kind: string;
  key: string;
  message: string;
}

interface Limit {
  name: string;
  key?: string;
  used: number;
  /** 0 is none. */
  limit: number;
}

interface Health {
  node: string;
  engine?: string;
  warnings: Warning[] | null;
  limits: Limit[] | null;
}

export function WarningsPage() {
  const { value, error } = useLoad((signal) => view<Health>('warnings', signal), 'warnings', INTERVAL);
  const warnings = [...value?.warnings ?? []].sort((a, b) => Number(b.kind === 'insecure') - Number(a.kind === 'insecure'));
  return (
    <>
      <h1>Limits and warnings</h1>
      {value && <p>Of the node {value.node}.</p>}
      <Problem text={error} />
      {value?.engine && <Notice kind="error">The engine is not usable: {value.engine}</Notice>}
      <h2>Warnings</h2>
      {value && warnings.length === 0 && <Notice kind="good">There are no warnings.</Notice>}
      {warnings.map((w) => (
        <Notice key={`${w.key} ${w.message}`} kind={w.kind === 'insecure' ? 'error' : 'warning'}><b>{w.key}</b>: {w.message}</Notice>
      ))}
      <h2>Limits</h2>
      <Table
        caption="Limits"
        rows={value?.limits ?? []}
        id={(l) => l.name}
        empty={value ? 'There are no limits.' : 'Loading…'}
        columns={[
          { title: 'What', cell: (l) => <>{l.name}{l.key && <small><code>{l.key}</code></small>}</> },
          { title: 'Used', number: true, cell: (l) => count(l.used) },
          { title: 'Limit', number: true, cell: (l) => (l.limit ? count(l.limit) : 'none') },
          { title: 'Share', cell: (l) => (l.limit ? <Share used={l.used} limit={l.limit} name={l.name} /> : '') },
        ]}
      />
    </>
  );
}

function Share({ used, limit, name }: { used: number; limit: number; name: string }) {
  const share = used / limit;
  return (
    <span class={`share ${share > 0.9 ? 'high' : share > 0.7 ? 'raised' : ''}`}>
      <meter min={0} max={1} low={0.7} high={0.9} optimum={0} value={Math.min(1, share)} aria-label={`${name}: share of the limit`} /> {Math.round(100 * share)} %
    </span>
  );
}
