// A small plot of the latest values of a figure.

interface PlotProps {
  label: string;
  values: number[];
  format(value: number): string;
  /** How many values fill the width. */
  length: number;
}

const WIDTH = 160;
const HEIGHT = 36;

export function Plot({ label, values, format, length }: PlotProps) {
  const now = values.at(-1);
  const top = Math.max(...values, 0);
  const step = WIDTH / (length - 1);
  const x = (i: number) => (WIDTH - (values.length - 1 - i) * step).toFixed(1);
  const y = (value: number) => (HEIGHT - 1 - (top > 0 ? value / top : 0) * (HEIGHT - 3)).toFixed(1);
  const line = values.map((value, i) => `${x(i)},${y(value)}`).join(' ');
  const text = now === undefined ? 'no value yet' : `now ${format(now)}, at most ${format(top)}`;
  return (
    <figure class="plot">
      <figcaption>{label}<strong>{now === undefined ? '–' : format(now)}</strong></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${label}: ${text}`}>
        {values.length > 1 && <polygon points={`${x(0)},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />}
        {values.length > 1 && <polyline points={line} />}
      </svg>
    </figure>
  );
}
