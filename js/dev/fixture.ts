/**
 * A run as it could be, frozen at 96 seconds: a market report with every state and every phase.
 */
import {
  EMPTY_NODE,
  EMPTY_RUN,
  type NodeState,
  type Phase,
  type PhaseKind,
  type Run,
  type TreeNode,
} from "../src/protocol/messages";

export const NOW = 96;

type Step = readonly [PhaseKind, number, number | null];

interface Sketch {
  readonly title: string;
  readonly state: NodeState;
  readonly phases: readonly Step[];
  readonly extra?: Partial<TreeNode>;
  readonly children?: readonly Sketch[];
}

const task = (
  title: string,
  state: NodeState,
  phases: readonly Step[] = [],
  extra: Partial<TreeNode> = {},
): Sketch => ({ title, state, phases, extra });

const plan = (
  title: string,
  state: NodeState,
  phases: readonly Step[],
  children: readonly Sketch[],
  extra: Partial<TreeNode> = {},
): Sketch => ({ title, state, phases, children, extra: { decision: "RECURSE", ...extra } });

const executed = (title: string, from: number, to: number, extra: Partial<TreeNode> = {}): Sketch =>
  task(title, "done", [["execute", from, to]], extra);

const running = (title: string, from: number, tail = "", extra: Partial<TreeNode> = {}): Sketch =>
  task(title, "running", [["execute", from, null]], { tail, ...extra });

const planned = (from: number, waiting: number, synthesis: number, end: number): Step[] => [
  ["plan", from, waiting],
  ["wait", waiting, synthesis],
  ["synthesize", synthesis, end],
];

const planWaiting = (from: number, waiting: number): Step[] => [
  ["plan", from, waiting],
  ["wait", waiting, null],
];

const cached = (title: string, from: number, to: number): Sketch =>
  task(title, "done", [["replayed", from, to]], { mark: "cached" });

const STORAGE = plan("Compare storage chemistries", "synthesizing", [["plan", 7, 12.5], ["wait", 12.5, 83], ["synthesize", 83, null]], [
  plan("Lithium iron phosphate", "done", planned(12.5, 16, 44, 51), [
    executed("Extract cell cost curves from 14 reports", 16, 38),
    executed("Cycle life under daily cycling", 16, 31),
    executed("Supply-chain concentration", 16.5, 44, { attempts: 2 }),
  ]),
  plan("Sodium-ion", "done", planned(12.5, 17, 73, 83), [
    executed("Announced gigafactories", 17, 29),
    plan("Energy-density trajectory", "done", planned(17, 21, 66, 73), [
      executed("Read patent abstracts (n = 212)", 21, 66),
      executed("Read peer-reviewed results", 21, 49),
      executed("Fit learning-rate model", 50, 61, { agent: "coder", depends_on: [] }),
    ]),
    cached("Safety incidents", 17, 17.6),
  ]),
  plan("Iron-air and flow batteries", "done", planned(13, 18, 58, 64), [
    executed("Vanadium price sensitivity", 18, 40),
    executed("Round-trip efficiency survey", 18, 58),
    executed("Commercial deployments", 19, 37),
  ]),
  executed("Thermal and gravity storage", 12.5, 34),
]);

const POLICY = plan("Map the policy environment", "waiting", planWaiting(7.5, 13), [
  executed("US: IRA credits after 2025 revisions", 13, 41),
  executed("EU: capacity mechanisms", 13.5, 55),
  plan("Interconnection queues", "waiting", planWaiting(14, 19), [
    executed("PJM", 19, 48),
    executed("ERCOT", 24, 52),
    task(
      "CAISO",
      "failed",
      [["execute", 28, 47], ["failed", 47, 53], ["execute", 54, 70], ["failed", 70, 71.5]],
      { attempts: 3, note: "HTTP 429 ×3" },
    ),
    running("MISO", 53, "median wait rose from 3.1 to 4.7 years, driven by"),
    running("National Grid ESO", 61, "of 739 GW queued, 164 GW is"),
    task("AEMO", "pending"),
  ]),
  running("China: mandatory storage ratios", 66, "Document No. 136 ends the"),
  running("Tariffs on imported cells", 71),
]);

const VENDORS = plan("Profile the leading vendors", "waiting", planWaiting(8, 15), [
  executed("Tesla Energy", 41, 63),
  executed("Fluence", 44, 69),
  executed("CATL", 48, 79),
  running("BYD", 58, "MC Cube-T ships at 6.4 MWh per"),
  running("Sungrow", 69, "PowerTitan 3.0"),
  running("Form Energy", 79),
  task("Wärtsilä", "cancelled", [["execute", 63, 76]], { note: "cancelled by user" }),
  task("LG Energy Solution", "pending"),
  task("Hithium", "pending"),
]);

const ROOT = plan("Market landscape: grid-scale energy storage, 2025–2030", "waiting", planWaiting(0, 7), [
  plan("Size the market by region", "done", planned(7, 11, 36, 43), [
    executed("North America: installed GWh and pipeline", 11, 24),
    executed("Europe: installed GWh and pipeline", 11, 27),
    executed("China: provincial targets", 11.5, 36),
    cached("Rest of world", 11.5, 12),
    executed("Reconcile units and double counting", 28, 35),
  ]),
  STORAGE,
  POLICY,
  VENDORS,
  task("Unit economics by use case", "planning", [["plan", 84, null]], { agent: "planner" }),
  task("Risks and open questions", "pending"),
  plan("Check every figure against its source", "waiting", planWaiting(43, 48), [
    executed("Verify regional market sizes", 48, 71, { agent: "verifier" }),
    running("Verify cost curves", 72, "11 of 14 figures match;", { agent: "verifier" }),
    task("Verify policy dates", "pending", [], { agent: "verifier" }),
    task("Verify vendor shipments", "superseded", [], { agent: "verifier", note: "budget guard" }),
  ], { agent: "verifier" }),
  task("Draft the executive summary", "pending"),
  task("Render charts", "pending", [], { agent: "coder" }),
]);

function workSeconds(phases: readonly Phase[]): number {
  const work = phases.filter(([kind]) => kind !== "wait");
  return work.reduce((sum, [, start, end]) => sum + (end ?? NOW) - start, 0);
}

function usage(sketch: Sketch): Pick<TreeNode, "tokens_in" | "tokens_out" | "cost"> {
  const free = sketch.phases.length === 0 || sketch.extra?.mark === "cached";
  if (free) return { tokens_in: 0, tokens_out: 0, cost: 0 };
  const seconds = workSeconds(sketch.phases);
  const tokens_in = Math.round(420 + seconds * 61 + ((sketch.title.length * 37) % 900));
  const tokens_out = Math.round(seconds * 48);
  const [input, output] = sketch.children ? [3, 15] : [0.8, 2.4];
  return { tokens_in, tokens_out, cost: (tokens_in * input + tokens_out * output) / 1e6 };
}

function expand(sketch: Sketch, id: string, parent: string | null): TreeNode[] {
  const node: TreeNode = {
    ...EMPTY_NODE,
    id,
    parent,
    title: sketch.title,
    agent: sketch.children ? "planner" : "worker",
    model: sketch.children ? "planner-large" : "worker-small",
    state: sketch.state,
    decision: sketch.phases.length > 0 ? "EXECUTE" : null,
    attempts: 1,
    phases: sketch.phases,
    ...usage(sketch),
    ...sketch.extra,
  };
  const below = (sketch.children ?? []).flatMap((child, index) => expand(child, `${id}.${index}`, id));
  return [node, ...below];
}

export const NODES: readonly TreeNode[] = expand(ROOT, "0", null);

export const RUN: Run = {
  ...EMPTY_RUN,
  run_id: "market-landscape",
  title: "Market landscape",
  status: "running",
  tokens: NODES.reduce((sum, node) => sum + node.tokens_in + node.tokens_out, 0),
  cost: NODES.reduce((sum, node) => sum + (node.cost ?? 0), 0),
  calls: NODES.length,
  calls_now: NODES.length,
  budget: { usd: 2 },
  model: "planner-large",
  can: ["pause", "cancel"],
};

export const OUTPUT = `# Energy-density trajectory

Sodium-ion cells reached **165 Wh/kg** in commercial form in 2024. A learning rate of *4.1 % per year* fits the 212 patents and 38 papers, with a wide interval.

| Year | Median (Wh/kg) | 80 % interval |
|---|--:|--:|
| 2025 | 172 | 165 – 181 |
| 2027 | 187 | 171 – 204 |
| 2030 | 210 | 182 – 241 |

- Layered-oxide cathodes drive most of the gain.
- Hard-carbon anodes are near their practical limit.

\`\`\`python
fit = learning_rate(df, x="year", y="wh_kg")
fit.summary().interval(0.8)
\`\`\`

The largest single source of disagreement is pack-level overhead: patents report *cell* values, field studies report *pack* values. Eleven sources state neither, and were **excluded**.

- Sources used: [38 papers](https://example.org), [212 patents](https://example.org)
- Confidence: medium, see [0.0.4]
`;

/**
 * A tree of any size, three levels deep, of which a part is still at work. With `queries`, the branches are code nodes of
 * so many sub-queries each.
 */
export function largeRun(count: number, queries = 0): TreeNode[] {
  const size = queries > 0 ? queries + 1 : 100;
  const nodes: TreeNode[] = [{ ...EMPTY_NODE, id: "0", title: "Large run", agent: "planner", state: "waiting", phases: [["wait", 0, null]] }];
  for (let index = 1; index < count; index += 1) {
    const group = Math.floor((index - 1) / size);
    const first = (index - 1) % size === 0;
    const id = first ? `0.${group}` : `0.${group}.${(index - 1) % size}`;
    const code: Partial<TreeNode> = first ? { decision: "PROGRAM", cells: 5 } : { query: index % 50 === 0 ? "rlm_query" : "llm_query" };
    const start = (index % 600) / 10;
    nodes.push({
      ...EMPTY_NODE,
      id,
      parent: first ? "0" : `0.${group}`,
      title: `Task ${index}`,
      agent: "worker",
      state: index % 7 === 0 ? "running" : "done",
      phases: [["execute", start, index % 7 === 0 ? null : start + 5]],
      ...(queries > 0 ? code : {}),
    });
  }
  return nodes;
}
