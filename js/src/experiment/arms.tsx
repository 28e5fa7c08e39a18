/**
 * The arms of a study as small multiples: how far each is, its score so far on one scale for all, and what a run costs.
 */
import { isRecord } from "../protocol/messages";
import { formatCost } from "../ui/format";

export interface Arm {
  readonly label: string;
  readonly isBaseline: boolean;
  readonly runs: number;
  readonly done: number;
  readonly failed: number;
  readonly metric: string;
  readonly score: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly cost: number | null;
}

const numberOrNull = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);

function armFrom(sent: unknown): readonly Arm[] {
  if (!isRecord(sent) || typeof sent.label !== "string") return [];
  const { label, isBaseline, runs, done, failed, metric, score, low, high, cost } = sent;
  return [
    {
      label,
      isBaseline: isBaseline === true,
      runs: numberOrNull(runs) ?? 0,
      done: numberOrNull(done) ?? 0,
      failed: numberOrNull(failed) ?? 0,
      metric: typeof metric === "string" ? metric : "",
      score: numberOrNull(score),
      low: numberOrNull(low),
      high: numberOrNull(high),
      cost: numberOrNull(cost),
    },
  ];
}

export const armsFrom = (sent: unknown): readonly Arm[] => (Array.isArray(sent) ? sent.flatMap(armFrom) : []);

/** The scale of all scores: 0 to 1, or as far as they reach. */
export function scaleOf(arms: readonly Arm[]): readonly [number, number] {
  const values = arms.flatMap(({ score, low, high }) => [score, low, high]).filter((value) => value !== null);
  return [Math.min(0, ...values), Math.max(1, ...values)];
}

const short = (value: number): string => value.toPrecision(3).replace(/\.?0+$/, "");

function Scale({ arm, scale }: { arm: Arm; scale: readonly [number, number] }) {
  const { score, low, high } = arm;
  const at = (value: number): number => (100 * (value - scale[0])) / (scale[1] - scale[0]);
  return (
    <span class="rx-scale" aria-hidden="true">
      {low !== null && high !== null && <i class="rx-interval" style={{ left: `${at(low)}%`, width: `${at(high) - at(low)}%` }} />}
      {score !== null && <i class="rx-point" style={{ left: `${at(score)}%` }} />}
    </span>
  );
}

function Row({ arm, scale, isChosen, choose }: { arm: Arm; scale: readonly [number, number]; isChosen: boolean; choose(words: string): void }) {
  const { label, runs, done, failed, score, low, high, cost } = arm;
  const share = (part: number): string => `${(100 * part) / Math.max(1, runs)}%`;
  const interval = low !== null && high !== null ? ` [${short(low)}, ${short(high)}]` : "";
  return (
    <tr>
      <th scope="row">
        <button type="button" aria-pressed={isChosen} title="Show the runs of this arm alone" onClick={() => choose(isChosen ? "" : `${label}:`)}>
          {label}
          {arm.isBaseline ? " (baseline)" : ""}
        </button>
      </th>
      <td>
        <span class="rx-bar" aria-hidden="true">
          <span class="rx-done" style={{ width: share(done) }} />
          <span class="rx-failed" style={{ width: share(failed) }} />
        </span>
      </td>
      <td class="rx-n">
        {done} of {runs}
        {failed > 0 ? `, ${failed} failed` : ""}
      </td>
      <td>
        <Scale arm={arm} scale={scale} />
      </td>
      <td class="rx-n">{score === null ? "" : `${short(score)}${interval}`}</td>
      <td class="rx-n">{cost === null ? "" : cost > 0 && cost < 0.0005 ? `$${cost.toPrecision(2)}` : formatCost(cost)}</td>
    </tr>
  );
}

export function Arms({ arms, chosen, choose }: { arms: readonly Arm[]; chosen: string; choose(words: string): void }) {
  if (arms.length === 0) return null;
  const scale = scaleOf(arms);
  const metric = arms.find((arm) => arm.metric !== "")?.metric ?? "score";
  return (
    <div class="rx-arms" role="region" aria-label="The arms" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col" class="rx-c-arm">Arm</th>
            <th scope="col" class="rx-c-bar">Runs</th>
            <th scope="col" class="rx-n">Done</th>
            <th scope="col" class="rx-c-scale">
              {short(scale[0])} to {short(scale[1])}
            </th>
            <th scope="col" class="rx-n">{metric}</th>
            <th scope="col" class="rx-n">Cost a run</th>
          </tr>
        </thead>
        <tbody>
          {arms.map((arm) => (
            <Row key={arm.label} arm={arm} scale={scale} isChosen={chosen === `${arm.label}:`} choose={choose} />
          ))}
        </tbody>
      </table>
    </div>
  );
}
