// Values as people read them.

const numbers = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const count = (n: number) => numbers.format(n);

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${numbers.format(n)} ${units[i]}`;
}

export function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export const clock = (time: number) => new Date(time).toLocaleTimeString('en-GB');

export const moment = (seconds: number) => new Date(seconds * 1000).toISOString().replace('T', ' ').slice(0, 19) + ' UTC';

/** A time in milliseconds, to the millisecond. */
export const exact = (time: number) => new Date(time).toISOString().replace('T', ' ').slice(0, 23) + ' UTC';

export const json = (value: unknown) => JSON.stringify(value, null, 2);

/** The command line that makes the same call through the HTTP API. */
export function curl(method: string, params: unknown): string {
  const quoted = JSON.stringify(params).replaceAll("'", "'\\''");
  return `curl -X POST ${location.origin}/api/${method} -H "X-API-Key: $API_KEY" -d '${quoted}'`;
}
