// Parts that the pages share.

import type { ComponentChildren, JSX } from 'preact';
import { useCallback, useEffect, useId, useRef, useState } from 'preact/hooks';
import { Unauthorized } from './session';

export const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

export interface Loaded<T> {
  value: T | undefined;
  error: string;
  loading: boolean;
  reload(): void;
}

/**
 * Loads a value now, when key changes, and every interval milliseconds unless that is 0.
 * A load begins after the one before has ended; what belongs to an old key is dropped.
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, key: string, interval = 0): Loaded<T> {
  const [state, setState] = useState<{ key: string; value?: T; error: string; loading: boolean }>({ key, error: '', loading: true });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const control = new AbortController();
    let timer = 0;
    const run = async () => {
      setState((s) => ({ ...s, key, value: s.key === key ? s.value : undefined, loading: true }));
      try {
        const value = await latest.current(control.signal);
        if (!control.signal.aborted) setState({ key, value, error: '', loading: false });
      } catch (error) {
        if (control.signal.aborted || error instanceof Unauthorized) return;
        setState((s) => ({ ...s, error: textOf(error), loading: false }));
      }
      if (interval > 0 && !control.signal.aborted) timer = window.setTimeout(run, interval);
    };
    void run();
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, [key, interval, turn]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  return { value: state.key === key ? state.value : undefined, error: state.error, loading: state.loading, reload };
}

export function Notice({ kind = 'info', children }: { kind?: 'info' | 'good' | 'warning' | 'error'; children: ComponentChildren }) {
  return <p class={`notice ${kind}`} role={kind === 'error' ? 'alert' : 'status'}>{children}</p>;
}

export function Problem({ text }: { text: string }) {
  return text ? <Notice kind="error">{text}</Notice> : null;
}

interface FieldProps {
  label: string;
  hint?: string;
  children: (id: string, hint: string | undefined) => JSX.Element;
}

/** A control with its label. */
export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(id, hint ? `${id}-hint` : undefined)}
      {hint && <small id={`${id}-hint`}>{hint}</small>}
    </div>
  );
}

interface TextProps {
  label: string;
  value: string;
  onValue(value: string): void;
  hint?: string;
  rows?: number;
  type?: 'text' | 'number' | 'password' | 'datetime-local';
  required?: boolean;
  placeholder?: string;
  testid?: string;
}

export function Text({ label, value, onValue, hint, rows, type = 'text', required, placeholder, testid }: TextProps) {
  return (
    <Field label={label} hint={hint}>
      {(id, described) => (rows
        ? <textarea id={id} data-testid={testid} aria-describedby={described} rows={rows} value={value} spellcheck={false} required={required} placeholder={placeholder}
          onInput={(e) => onValue(e.currentTarget.value)} />
        : <input id={id} data-testid={testid} aria-describedby={described} type={type as 'text'} value={value} spellcheck={false} autocomplete="off" required={required} placeholder={placeholder}
          onInput={(e) => onValue(e.currentTarget.value)} />)}
    </Field>
  );
}

export function Check({ label, checked, onChecked }: { label: string; checked: boolean; onChecked(checked: boolean): void }) {
  const id = useId();
  return (
    <div class="field check">
      <input id={id} type="checkbox" checked={checked} onChange={(e) => onChecked(e.currentTarget.checked)} />
      <label for={id}>{label}</label>
    </div>
  );
}

export interface Column<T> {
  title: string;
  number?: boolean;
  cell(row: T): ComponentChildren;
}

interface TableProps<T> {
  caption: string;
  columns: Column<T>[];
  rows: T[];
  id(row: T): string;
  empty?: string;
}

/** A table that becomes a list of cards on a narrow screen. */
export function Table<T>({ caption, columns, rows, id, empty = 'Nothing to show.' }: TableProps<T>) {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>{columns.map((c) => <th key={c.title} scope="col" class={c.number ? 'number' : ''}>{c.title}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)} data-row={id(row)}>
              {columns.map((c) => <td key={c.title} data-title={c.title} class={c.number ? 'number' : ''}>{c.cell(row)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Buttons to go through pages. */
export function Pager({ page, pages, onPage }: { page: number; pages: number; onPage(page: number): void }) {
  if (pages <= 1) return null;
  return (
    <nav class="pager" aria-label="Pages">
      <button type="button" disabled={page === 0} onClick={() => onPage(page - 1)}>Previous</button>
      <span aria-live="polite">Page {page + 1} of {pages}</span>
      <button type="button" disabled={page >= pages - 1} onClick={() => onPage(page + 1)}>Next</button>
    </nav>
  );
}

/** Text to copy. */
export function Code({ text, label, testid }: { text: string; label: string; testid?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <div class="code">
      <pre tabIndex={0} aria-label={label} data-testid={testid}><code>{text}</code></pre>
      {navigator.clipboard && <button type="button" class="quiet" onClick={copy} aria-label={`Copy ${label}`}>{copied ? 'Copied' : 'Copy'}</button>}
    </div>
  );
}

/** The value after it has not changed for a moment, so that typing does not send requests. */
export function useSettled<T>(value: T, delay = 300): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delay);
    return () => clearTimeout(timer);
  }, [value, delay]);
  return settled;
}

/** Asks before doing what cannot be undone. */
export function Confirmed({ label, question, onConfirm }: { label: string; question: string; onConfirm(): void }) {
  return <button type="button" class="danger" onClick={() => { if (confirm(question)) onConfirm(); }}>{label}</button>;
}
