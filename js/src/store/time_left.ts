/**
 * How long a run will still take, as a range, from what has finished in it; nothing while little is known.
 *
 * The work that is left: each unfinished task takes as long as finished ones of its kind did. The low end assumes that no
 * undecided task splits, the high end that they split as often as those of their level did, and into as many. Both are
 * widened by how much the finished ones differ. Divided by how many tasks worked at once so far, and never less than the
 * longest chain of calls that follow each other.
 */
import type { PhaseKind, TreeNode } from "../protocol/messages";
import { phaseEnd } from "./critical_path";
import { isFinished } from "./display";

export interface TimeLeft {
  /** Seconds. */
  readonly low: number;
  readonly high: number;
}

/** Fewer finished leaves, fewer seconds, or a smaller share of the tasks say nothing of the rest. */
const FEWEST_LEAVES = 3;
const SHORTEST_RUN = 2;
const SMALLEST_SHARE = 0.1;
/** A wider range is none. */
const WIDEST = 6;

const WORK: ReadonlySet<PhaseKind> = new Set(["plan", "execute", "synthesize", "failed"]);

/** What the known nodes tell: durations in seconds, and how often and into how many parts each level splits. */
class Experience {
  readonly leaves: number[] = [];
  readonly #plans: number[] = [];
  readonly #joins: number[] = [];
  readonly #levels = new Map<number, { split: number; decided: number }>();
  #splits = 0;
  #parts = 0;
  work = 0;
  finished = 0;
  size = 0;

  note(node: TreeNode, now: number): void {
    const parts = node.decision === "RECURSE";
    this.size += 1;
    if (isFinished(node)) this.finished += 1;
    if (node.parent !== null) this.#parts += 1;
    if (parts) this.#splits += 1;
    if (node.decision !== null) {
      const depth = depthOf(node);
      const level = this.#levels.get(depth) ?? { split: 0, decided: 0 };
      this.#levels.set(depth, { split: level.split + Number(parts), decided: level.decided + 1 });
    }
    // A reused result has the times of another execution.
    if (node.mark !== "") return;
    const worked = workOf(node, now);
    this.work += worked.whole;
    if (parts) this.#plans.push(worked.plan);
    if (node.state !== "done") return;
    if (parts) this.#joins.push(worked.whole - worked.plan);
    else this.leaves.push(worked.whole);
  }

  get leaf(): number {
    return mean(this.leaves);
  }

  get join(): number {
    return this.#joins.length > 0 ? mean(this.#joins) : this.leaf;
  }

  /** A task that may split: with the probability of its level, into as many leaves as usual. */
  undecided(depth: number): number {
    const level = this.#levels.get(depth);
    const share = level ? level.split / level.decided : 0;
    const branch = this.#splits > 0 ? this.#parts / this.#splits : 0;
    const split = (this.#plans.length > 0 ? mean(this.#plans) : this.leaf) + branch * this.leaf + this.join;
    return (1 - share) * this.leaf + share * split;
  }

  /** The relative error of the mean duration of a leaf. */
  get doubt(): number {
    const { leaf, leaves } = this;
    if (leaf === 0) return 0;
    const variance = mean(leaves.map((each) => (each - leaf) ** 2));
    return Math.min(1, Math.sqrt(variance) / leaf / Math.sqrt(leaves.length));
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / Math.max(1, values.length);

const depthOf = ({ id }: TreeNode): number => id.split(".").length - 1;

function workOf(node: TreeNode, now: number): { whole: number; plan: number } {
  const seconds = (wanted: (kind: PhaseKind) => boolean): number =>
    node.phases.reduce((sum, phase) => (wanted(phase[0]) ? sum + phaseEnd(phase, now) - phase[1] : sum), 0);
  return { whole: seconds((kind) => WORK.has(kind)), plan: seconds((kind) => kind === "plan") };
}

/** The seconds that one unfinished node itself still takes: [low, high]. */
function leftOf(node: TreeNode, now: number, known: Experience): [number, number] {
  const { leaf, join } = known;
  const rest = (usual: number): number => Math.max(usual / 10, usual - workOf(node, now).whole);
  if (node.state === "synthesizing" || (node.state === "waiting" && node.decision === "RECURSE")) return [join, join];
  if (node.state === "running" || node.decision === "EXECUTE") return [rest(leaf), rest(leaf)];
  return [rest(leaf), Math.max(rest(leaf), known.undecided(depthOf(node)))];
}

export function timeLeft(nodes: () => Iterable<TreeNode>, now: number, worked: number): TimeLeft | null {
  const known = new Experience();
  for (const node of nodes()) known.note(node, now);
  const isKnown = known.leaves.length >= FEWEST_LEAVES && worked >= SHORTEST_RUN && known.work > 0;
  if (!isKnown || known.finished < known.size * SMALLEST_SHARE) return null;
  let [low, high, chain, longest] = [0, 0, 0, 0];
  for (const node of nodes()) {
    if (isFinished(node)) continue;
    const [least, most] = leftOf(node, now, known);
    low += least;
    high += most;
    // Above an unfinished task, each level is joined after it.
    const above = depthOf(node) * known.join;
    if (node.decision !== "RECURSE") [chain, longest] = [Math.max(chain, least + above), Math.max(longest, most + above)];
  }
  if (high === 0) return null;
  const parallel = known.work / worked;
  const { doubt } = known;
  const left = {
    low: Math.max(chain, low / parallel) * (1 - doubt / 2),
    high: Math.max(longest, high / parallel) * (1 + doubt),
  };
  return left.high > WIDEST * left.low ? null : left;
}
