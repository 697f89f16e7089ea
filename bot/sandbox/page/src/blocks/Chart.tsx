import type { Chart as ChartData } from "../types";

/** Colors of the series, which are told apart in light and dark. */
const COLORS = ["#2a8f9b", "#d9822b", "#7a6fd0", "#4f9d57", "#c2507a", "#8a8f98"];
const colorOf = (at: number): string => COLORS[at % COLORS.length] ?? "currentColor";

const WIDTH = 640;
const HEIGHT = 190;
const TOP = 10;

/** A round number that is at least `value`, for the end of the axis. */
export function ceiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return (Math.ceil((value / power) * 2) / 2) * power;
}

/** Whether a label stays where there is no room for all: the first, the middle and the last one. */
const isMark = (at: number, count: number): boolean =>
  count <= 5 || at === 0 || at === count - 1 || at === Math.floor((count - 1) / 2);

const shown = (value: number): string => value.toLocaleString("en", { maximumFractionDigits: 2 });

/** Columns, beside each other for several series; lines and areas are drawn as points that are joined. */
function Series({ chart }: { chart: ChartData }) {
  const categories = chart.axis_config?.categories ?? [];
  const series = (chart.series ?? []).map((each) => ({
    ...each,
    values: categories.map((label) => each.data.find((point) => point.label === label)?.value ?? 0),
  }));
  const top = ceiling(Math.max(0, ...series.flatMap((each) => each.values)));
  const step = WIDTH / Math.max(1, categories.length);
  const bar = (step * 0.7) / Math.max(1, series.length);
  const y = (value: number) => TOP + (HEIGHT - TOP) * (1 - value / top);
  const middle = (at: number) => step * (at + 0.5);
  return (
    <>
      <div className="chart-plot">
        <div className="chart-axis" aria-hidden="true">
          <span>{shown(top)}</span>
          <span>{shown(top / 2)}</span>
          <span>0</span>
        </div>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          {[0, top / 2, top].map((value) => (
            <line key={value} x1="0" x2={WIDTH} y1={y(value)} y2={y(value)} className="chart-grid" />
          ))}
          {series.map((each, row) =>
            chart.type === "bar" ? (
              each.values.map((value, at) => (
                <rect
                  key={`${row} ${at}`}
                  x={middle(at) - (bar * series.length) / 2 + bar * row}
                  y={y(value)}
                  width={bar}
                  height={HEIGHT - y(value)}
                  fill={colorOf(row)}
                />
              ))
            ) : (
              <polyline
                key={row}
                points={each.values.map((value, at) => `${middle(at)},${y(value)}`).join(" ")}
                fill="none"
                stroke={colorOf(row)}
                strokeWidth="2"
                vectorEffect="non-scaling-stroke"
              />
            ),
          )}
        </svg>
      </div>
      <div className="chart-labels" aria-hidden="true">
        {categories.map((label, at) => (
          <span key={label} className={isMark(at, categories.length) ? undefined : "chart-minor"}>
            {label}
          </span>
        ))}
      </div>
      <Legend names={series.map((each) => each.name)} />
    </>
  );
}

function Legend({ names }: { names: string[] }) {
  return (
    <div className="chart-legend">
      {names.map((name, at) => (
        <span key={name}>
          <i style={{ background: colorOf(at) }} /> {name}
        </span>
      ))}
    </div>
  );
}

/** A pie as a line of its parts. */
function Segments({ chart }: { chart: ChartData }) {
  const segments = chart.segments ?? [];
  const sum = segments.reduce((total, each) => total + each.value, 0);
  return (
    <>
      <div className="chart-parts">
        {segments.map((each, at) => (
          <i key={each.label} style={{ flexGrow: each.value, background: colorOf(at) }} />
        ))}
      </div>
      <Legend names={segments.map((each) => `${each.label}: ${Math.round((each.value / sum) * 100)} %`)} />
    </>
  );
}

/** What a screen reader reads: each value. */
function described(chart: ChartData): string {
  if (chart.segments) return chart.segments.map((each) => `${each.label} ${each.value}`).join(", ");
  return (chart.series ?? [])
    .map((each) => `${each.name}: ${each.data.map((point) => `${point.label} ${point.value}`).join(", ")}`)
    .join("; ");
}

export function Chart({ title, chart }: { title: string; chart: ChartData }) {
  return (
    <figure className="chart" data-testid="chart" role="img" aria-label={`${title}. ${described(chart)}`}>
      <figcaption>{title}</figcaption>
      {chart.type === "pie" ? <Segments chart={chart} /> : <Series chart={chart} />}
    </figure>
  );
}
