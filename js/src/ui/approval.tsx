/**
 * What the dialogs for plans and for tool calls share: the request that is shown, what it will cost, and the decision.
 *
 * A decision names the request whose content is on the screen. It is fetched once, when the dialog opens; if it is
 * decided elsewhere meanwhile, the dialog says so and offers nothing more, and never shows the request that follows.
 */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { isRecord, type TreeNode } from "../protocol/messages";
import type { View } from "../store/view";
import { formatCost, formatTokens } from "./format";
import { useDetail } from "./use_detail";

/** Milliseconds without a change after which the estimate of an edited plan is requested. */
const TYPING_PAUSE = 350;

export interface Approval {
  /** Empty until the request has arrived. */
  readonly request: string;
  readonly plan: unknown;
  readonly calls: readonly Record<string, unknown>[];
}

const NOTHING: Approval = { request: "", plan: null, calls: [] };

function readApproval(data: unknown): Approval | null {
  if (!isRecord(data) || typeof data["request"] !== "string") return null;
  const calls = Array.isArray(data["calls"]) ? data["calls"].filter(isRecord) : [];
  return { request: data["request"], plan: data["plan"], calls };
}

/** The request that waits at the node, as it was when the dialog opened. */
export function useApproval(view: View, node: TreeNode): Approval {
  const latest = readApproval(useDetail(view, node, "approval").data);
  const [shown, show] = useState<Approval | null>(null);
  // What is in the cache may belong to an earlier request of the node.
  const current = shown ?? (latest?.request === node.awaiting ? latest : null);
  useEffect(() => {
    if (!shown && current) show(current);
  });
  return current ?? NOTHING;
}

interface Amounts {
  readonly calls: number;
  readonly tokens: number;
  readonly cost: number | null;
}

function readAmounts(data: unknown): Amounts | null {
  if (!isRecord(data)) return null;
  const { calls, total_tokens: tokens, cost_usd: cost } = data;
  if (typeof calls !== "number" || typeof tokens !== "number") return null;
  return { calls, tokens, cost: typeof cost === "number" ? cost : null };
}

const range = (least: string, most: string): string => (least === most ? least : `${least} to ${most}`);

function estimateText(data: unknown): string {
  const [least, most] = isRecord(data) ? [readAmounts(data["least"]), readAmounts(data["most"])] : [null, null];
  if (!least || !most) return "";
  if (most.calls === 0) return "No further model call.";
  if (isRecord(data) && data["unknown"] === true) return "Unknown: the code decides how many calls it makes.";
  const cost = least.cost === null || most.cost === null ? "cost unknown" : range(formatCost(least.cost), formatCost(most.cost));
  const calls = `${range(String(least.calls), String(most.calls))} call${most.calls === 1 ? "" : "s"}`;
  return `About ${calls} · ${range(formatTokens(least.tokens), formatTokens(most.tokens))} tokens · ${cost}`;
}

/** What approving will cost, with the plan as it is or as it was edited. */
export function Estimate({ view, node, request, plan }: { view: View; node: TreeNode; request: string; plan?: object | undefined }) {
  const [text, setText] = useState("");
  useEffect(() => {
    if (request === "") return;
    let current = true;
    const timer = setTimeout(async () => {
      const args = plan ? { request, plan } : { request };
      const { ok, data } = await view.store.commands.ask({ op: "estimate", id: node.id, args });
      if (current && ok) setText(estimateText(data));
    }, plan ? TYPING_PAUSE : 0);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [node.id, request, JSON.stringify(plan)]);
  return (
    <p class="rn-hint rn-estimate" aria-live="polite">
      {text || "Estimating…"}
    </p>
  );
}

interface DecisionProperties {
  readonly view: View;
  readonly node: TreeNode;
  readonly request: string;
  /** What is decided on, in the buttons: "plan" or "calls". */
  readonly noun: string;
  readonly label: string;
  readonly busyLabel: string;
  readonly restLabel: string;
  readonly restHint: string;
  /** Beside the request itself, what approving sends. */
  readonly args?: object;
}

export interface Decision {
  readonly footer: ComponentChildren;
  /** The field for the reason, while rejecting. */
  readonly field: ComponentChildren;
  readonly problem: string;
}

/** The buttons of an approval dialog, and the form for a rejection. */
export function useDecision({ view, node, request, noun, label, busyLabel, restLabel, restHint, args = {} }: DecisionProperties): Decision {
  const [rejecting, setRejecting] = useState(false);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState("");
  const [sent, setSent] = useState(false);
  const { commands } = view.store;
  const close = (): void => void (view.dialog.value = null);
  const isBusy = (op: string): boolean => commands.isPending({ op, id: node.id });
  const busy = sent || isBusy("approve") || isBusy("reject");
  const decided = request !== "" && node.awaiting !== request && !busy;
  const blocked = busy || decided || request === "" || view.obstacle !== "";
  const send = async (op: string, more: object): Promise<void> => {
    if (blocked) return;
    setSent(true);
    const answer = await commands.ask({ op, id: node.id, args: { request, ...more } });
    if (answer.ok) return close();
    setSent(false);
    setProblem(answer.error);
  };
  const press = (text: string, look: string, action: () => void, hint = "", working = text) => (
    <button type="button" class={`rn-button${look}`} aria-disabled={blocked} title={view.obstacle || hint || undefined} aria-busy={busy} onClick={action}>
      {busy ? working : text}
    </button>
  );
  const back = (text: string, action: () => void) => (
    <button type="button" class="rn-button" onClick={action}>
      {text}
    </button>
  );
  const footer = rejecting ? (
    <>
      {back("Back", () => setRejecting(false))}
      {press(`Reject the ${noun}`, " rn-danger", () => void send("reject", { reason }), "", "Rejecting…")}
    </>
  ) : (
    <>
      {back(decided ? "Close" : "Decide later", close)}
      {press("Reject…", "", () => !blocked && setRejecting(true))}
      {press(restLabel, "", () => void send("approve", { ...args, rest: true }), restHint)}
      {press(label, " rn-primary", () => void send("approve", args), "", busyLabel)}
    </>
  );
  const field = rejecting && <Reason reader={noun === "plan" ? "planner" : "model"} text={reason} change={setReason} />;
  return { footer, field, problem: decided ? "This was decided already: in another view, or from Python." : problem };
}

function Reason({ reader, text, change }: { reader: string; text: string; change(text: string): void }) {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => area.current?.focus(), []);
  return (
    <label class="rn-reason">
      Why? The {reader} gets this as the reason.
      <textarea class="rn-editor" rows={3} value={text} ref={area} onInput={(event) => change(event.currentTarget.value)} />
    </label>
  );
}
