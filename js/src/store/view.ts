/**
 * What one view of a run shows: folds, filters, selection. Several views of a run differ here only.
 *
 * The store is plain and changes between drawings without anyone noticing. Components read it through
 * `run`, `tree` and `streamedText`, which subscribe them to the next drawing.
 */
import { batch, computed, signal, type ReadonlySignal } from "@preact/signals-core";
import { TAB_FIELDS, type Hit, type Run, type TabField, type TreeNode } from "../protocol/messages";
import type { FormulaPort } from "../ui/formulas";
import type { TextSetting } from "../ui/linked_text";
import { parallelism } from "./concurrency";
import { criticalPath } from "./critical_path";
import { isFinished, type DisplayState } from "./display";
import { flatten, isFiltering, placeOf, visibleIds, type Row, type RowFilter } from "./rows";
import type { RunStore } from "./run_store";
import { Search } from "./search";
import { sharedLength } from "./short_titles";
import { timeAxis, USUAL_ROOM, type TimeAxis } from "./time_axis";
import { timeLeft, type TimeLeft } from "./time_left";
import type { Tree } from "./tree";
import { patternOf, wordsOf } from "./words";

/** What is open over the widget. */
export type OpenDialog =
  | { readonly kind: "help" }
  | { readonly kind: "edit"; readonly id: string }
  | { readonly kind: "approve"; readonly id: string; readonly tools: boolean };

export const MODES = ["tree", "flame", "compare"] as const;
export type Mode = (typeof MODES)[number];

/** From this size on, rows are flattened at most every ten times as long as it took. */
const LARGE_TREE = 20_000;
const FLATTEN_SHARE = 10;

/** From this size on, what goes through all nodes is done every few seconds only. */
const DEAR_TREE = 2000;

/** So many sub-queries of one code node are listed without being asked for. */
const MANY_QUERIES = 24;
const SLOW_SECONDS = 4;
/** Milliseconds between two looks for finished branches in such a tree. */
const FOLD_PAUSE = 500;

/** Pixels that "59m 59s" takes behind a bar, less the margin of the timeline. */
const LABEL_WIDTH = 40;
/** Pixels below which a timeline has bars only. */
const NARROWEST_LABELLED = 80;
const NARROW_ROOM = 0.95;

/** Milliseconds after a move of the pointer over the rows in which none of them moves. */
const POINTING = 1000;

/** Pixels that the details, and the tree beside them, keep at least. */
export const LEAST_PANE = 240;
export const LEAST_TREE = 280;

export class View {
  readonly store: RunStore;
  /** Makes ids that no other view on the page has, even one of another copy of this module. */
  readonly key = Math.random().toString(36).slice(2);
  readonly frame = signal(0);
  readonly #shape = signal(0);

  readonly query = signal("");
  readonly words = computed(() => wordsOf(this.query.value));
  readonly wordPattern = computed(() => patternOf(this.words.value));
  readonly search: Search;
  /** Whether nodes are shown whose prompt alone has the words; undecided, if there are no others. */
  readonly showsPrompts = signal<boolean | null>(null);
  readonly states = signal<ReadonlySet<DisplayState>>(new Set());
  readonly folded = signal<ReadonlySet<string>>(new Set());
  readonly selected = signal<string | null>(null);
  readonly active = signal<string | null>(null);
  /** Grows when a node is to be brought into sight, wherever the focus is. */
  readonly revealed = signal(0);
  readonly showsCriticalPath = signal(true);
  readonly tab = signal<TabField>("output");
  /** The words of the quote whose passage is shown. */
  readonly cited = signal("");
  /** Pixels of the details beside the tree, once somebody chose them. */
  readonly paneWidth = signal<number | null>(null);
  /** Whether the details take the place of the tree. */
  readonly paneIsWhole = signal(false);
  readonly fullScreen = signal(false);
  readonly mode = signal<Mode>("tree");
  readonly dialog = signal<OpenDialog | null>(null);
  /** Folded to the header, as a finished run is unless the user touched it. */
  readonly collapsed = signal(false);
  /** The page around this view shows another state of the run than its end: it was loaded again in between. */
  readonly isElsewhere = signal(false);
  #touched = false;
  #lastStatus = "";
  #lastEpoch = -1;
  #foldedAt = -Infinity;
  #loopsFoldedAt = -Infinity;
  #pointedAt = -Infinity;
  #isPointedAt = false;
  readonly #foldDecided = new Set<string>();
  #flattenPause = 0;
  #flattenedAt = -Infinity;

  readonly #capacity: ReadonlySignal<number>;

  /** `capacity` is how many rows fit when the widget is as high as it may be. */
  constructor(store: RunStore, capacity: ReadonlySignal<number>) {
    this.store = store;
    this.#capacity = capacity;
    this.search = new Search(store.searchPorts);
    if (store.opens) {
      this.mode.value = store.opens;
      this.#touched = true;
    }
  }

  get run(): Run {
    this.frame.value;
    return this.store.run;
  }

  get tree(): Tree {
    this.frame.value;
    return this.store.tree;
  }

  streamedText(id: string): string {
    this.frame.value;
    return this.store.streamedText(id);
  }

  readonly #plainFilter = computed(() => ({
    words: this.words.value,
    hits: this.search.hits.value,
    states: this.states.value,
    prompts: true,
  }));

  /** How many nodes a search finds: in texts of their own, and in their prompts only. */
  readonly found = computed(() => {
    const filter = this.#plainFilter.value;
    const count = { own: 0, prompt: 0 };
    if (filter.words.length === 0) return count;
    for (const node of this.tree.nodes()) {
      const place = placeOf(node, filter);
      if (place) count[place] += 1;
    }
    return count;
  });

  readonly filter = computed<RowFilter>(() => ({
    ...this.#plainFilter.value,
    prompts: this.showsPrompts.value ?? this.found.value.own === 0,
  }));

  readonly rows = computed<readonly Row[]>(() => {
    this.#shape.value;
    const filter = this.filter.value;
    const tree = isFiltering(filter) ? this.tree : this.store.tree;
    const started = performance.now();
    const rows = flatten(tree, this.folded.value, visibleIds(tree, filter));
    this.#flattenedAt = performance.now();
    this.#flattenPause = tree.size > LARGE_TREE ? (this.#flattenedAt - started) * FLATTEN_SHARE : 0;
    return rows;
  });

  readonly rowIndex = computed<ReadonlyMap<string, number>>(
    () => new Map(this.rows.value.map((row, index) => [row.id, index])),
  );

  readonly runId = computed(() => this.run.run_id);

  readonly clock = computed(() => {
    this.frame.value;
    return this.store.clock;
  });

  /** Changes about once a second, for work that is too expensive to follow the clock. */
  readonly second = computed(() => {
    const { run, tree } = this.store;
    const seconds = tree.size > DEAR_TREE ? SLOW_SECONDS : 1;
    return `${Math.floor(this.clock.value / seconds)} ${run.status} ${Math.floor(tree.size / seconds)}`;
  });

  readonly parallelism = computed(() => {
    this.second.value;
    return parallelism(this.store.tree.nodes(), this.clock.peek(), this.axis.peek().worked);
  });

  /** Pixels; 0 before anything was laid out. */
  readonly timelineWidth = signal(0);

  /** What is left of a run that works; null while too little is known, and while it waits for somebody. */
  readonly timeLeft = computed<TimeLeft | null>(() => {
    this.second.value;
    const { run, tree } = this.store;
    const now = this.clock.peek();
    if (run.status !== "running" || tree.awaiting.size > 0 || this.store.client.isSilent) return null;
    return timeLeft(() => tree.nodes(), now, this.axis.peek().worked(now));
  });

  /** The same object as long as it draws the same: rows compare it. */
  readonly axis: ReadonlySignal<TimeAxis> = computed(() => {
    const axis = timeAxis(this.clock.value, this.store.client.pauses, this.#room());
    return axis.key === this.#axis?.key ? this.#axis : (this.#axis = axis);
  });
  #axis: TimeAxis | undefined;

  /** Seconds the run has worked: pauses do not count. */
  readonly worked = computed(() => this.axis.value.worked(this.clock.value));

  readonly critical = computed(() => criticalPath(this.tree, this.clock.value));

  readonly #shared = new Map<string, { count: number; length: number }>();

  /** How much of a node's title all its siblings begin with; see `shortTitle`. */
  sharedTitle(parent: string | null): number {
    if (parent === null) return 0;
    const siblings = this.store.tree.children(parent);
    const known = this.#shared.get(parent);
    if (known?.count === siblings.length) return known.length;
    const length = sharedLength(siblings.map((id) => this.store.tree.node(id)?.title ?? ""));
    this.#shared.set(parent, { count: siblings.length, length });
    return length;
  }

  /** Takes over what changed in the store; called at most once per animation frame. */
  draw(): void {
    batch(() => {
      this.frame.value += 1;
      this.#followEpoch();
      this.#followStatus();
      this.#followSelected();
      this.#foldLoops();
      this.#foldFinished();
      if (this.#mayFlatten()) this.#shape.value = this.store.tree.shape;
    });
  }

  /** Whether rows are missing because flattening a large tree was put off. */
  get isBehind(): boolean {
    return this.#shape.peek() !== this.store.tree.shape;
  }

  /** What is left behind now is as wide as the label of a bar. */
  #room(): number {
    const width = this.timelineWidth.value;
    if (width > 0 && width < NARROWEST_LABELLED) return NARROW_ROOM;
    return width > 0 ? Math.max(0.4, Math.min(USUAL_ROOM, 1 - LABEL_WIDTH / width)) : USUAL_ROOM;
  }

  #mayFlatten(): boolean {
    return !this.#isPointing && performance.now() - this.#flattenedAt >= this.#flattenPause;
  }

  /** Rows must not move between a look and a click. */
  pointAt(): void {
    this.#pointedAt = performance.now();
    this.#isPointedAt = true;
  }

  pointAway(): void {
    this.#pointedAt = -Infinity;
    this.#isPointedAt = false;
  }

  get #isPointing(): boolean {
    return performance.now() - this.#pointedAt < POINTING;
  }

  /** Whether the kernel accepts a command now. */
  can(op: string): boolean {
    return !this.run.readonly && this.run.can.includes(op);
  }

  /** Why nothing can be commanded now; empty when it can. */
  get obstacle(): string {
    this.frame.value;
    return this.store.client.isSilent ? "no news from the kernel: it is busy or was shut down" : "";
  }

  openDialog(dialog: OpenDialog): void {
    this.touch();
    this.dialog.value = dialog;
  }

  /** From now on nothing folds by itself that the reader could be looking at. */
  touch(): void {
    this.#touched = true;
  }

  isOpen(id: string): boolean {
    return !this.folded.value.has(id) || isFiltering(this.filter.value);
  }

  fold(id: string, folded: boolean): void {
    this.touch();
    this.#foldDecided.add(id);
    this.#setFolded([id], folded);
  }

  unfoldSiblings(id: string): void {
    this.touch();
    const parent = this.store.tree.node(id)?.parent;
    const siblings = parent ? this.store.tree.children(parent) : this.store.tree.roots;
    for (const sibling of siblings) this.#foldDecided.add(sibling);
    this.#setFolded(siblings, false);
  }

  setQuery(query: string): void {
    this.touch();
    batch(() => {
      this.query.value = query;
      this.showsPrompts.value = null;
      this.search.ask(this.words.value);
    });
  }

  /** Where the kernel found the words in a node, unless its row shows them anyway. */
  hitOf(node: TreeNode): Hit | undefined {
    const hit = this.words.value.length > 0 ? this.search.hits.value.get(node.id) : undefined;
    return hit && !["id", "title"].includes(hit[1]) ? hit : undefined;
  }

  select(id: string): void {
    this.touch();
    batch(() => {
      const node = this.store.tree.node(id);
      const field = id !== this.selected.value && node ? this.hitOf(node)?.[1] : undefined;
      this.tab.value = TAB_FIELDS.find((tab) => tab === field) ?? this.tab.value;
      this.active.value = id;
      this.selected.value = id;
    });
  }

  /** Opens every branch above a node, so that its row exists, and selects it. */
  reveal(id: string): void {
    const above = this.store.tree.ancestors(id).map((node) => node.id);
    batch(() => {
      this.#setFolded(above, false);
      this.collapsed.value = false;
      this.select(id);
      this.revealed.value += 1;
    });
  }

  /** Texts lead to the nodes they name; the same object as long as it does the same, so that no text is laid out again. */
  readonly textSetting: ReadonlySignal<TextSetting> = computed(() => ({
    title: (id: string): string | undefined => this.store.tree.node(id)?.title,
    open: (id: string): void => this.reveal(id),
    cite: (words: string): void => {
      this.cited.value = words;
      this.tab.value = "quotes";
    },
    words: this.wordPattern.value,
  }));

  readonly formulas: ReadonlySignal<FormulaPort> = computed(() => ({
    typeset: this.store.parts.read("formulas")?.typeset ?? null,
    request: this.#requestFormulas,
  }));
  readonly #requestFormulas = (): void => this.store.parts.request("formulas");

  /** Says whether the page shows the end of the run; if not, the answer is shown here. */
  setElsewhere(isElsewhere: boolean): void {
    if (this.isElsewhere.peek() === isElsewhere) return;
    this.isElsewhere.value = isElsewhere;
    const root = this.store.tree.roots[0];
    if (!isElsewhere || root === undefined) return;
    batch(() => {
      this.tab.value = "output";
      this.reveal(root);
    });
  }

  /** Seconds of work over all executions of the run. */
  get workedInAll(): number {
    const { worked, worked_before } = this.run;
    return worked ?? worked_before + this.worked.value;
  }

  closeDetails(): void {
    this.selected.value = null;
    this.paneIsWhole.value = false;
  }

  toggleStates(states: readonly DisplayState[]): void {
    this.touch();
    const chosen = new Set(this.states.value);
    const remove = states.every((state) => chosen.has(state));
    for (const state of states) remove ? chosen.delete(state) : chosen.add(state);
    this.states.value = chosen;
  }

  clearFilter(): void {
    batch(() => {
      if (this.query.value !== "") this.setQuery("");
      this.states.value = new Set();
    });
  }

  #setFolded(ids: readonly string[], folded: boolean): void {
    const next = new Set(this.folded.value);
    for (const id of ids) folded ? next.add(id) : next.delete(id);
    this.folded.value = next;
  }

  #followStatus(): void {
    const { status } = this.store.run;
    if (!this.store.client.hasState || status === this.#lastStatus) return;
    if (status === "done" && !this.#touched && !this.#isPointedAt) this.collapsed.value = true;
    if (status !== "done") this.collapsed.value = false;
    this.#lastStatus = status;
    this.search.again();
  }

  /** Another run in the place of this one, after an edit or a retry. */
  #followEpoch(): void {
    const { e } = this.store.client.position;
    if (e === this.#lastEpoch) return;
    this.#lastEpoch = e;
    this.#shared.clear();
    this.search.ask(this.words.peek());
    const { dialog } = this;
    if (dialog.value && dialog.value.kind !== "help") dialog.value = null;
  }

  /** The details stay where they are when a run is run again; of a task that it does not have, at the one above. */
  #followSelected(): void {
    const { tree, run, client } = this.store;
    if (this.selected.value === null || !client.hasState || tree.node(this.selected.value)) return;
    if (!["done", "failed", "cancelled"].includes(run.status)) return;
    let id = this.selected.value;
    while (id !== "" && !tree.node(id)) id = id.slice(0, Math.max(0, id.lastIndexOf(".")));
    this.selected.value = id === "" ? null : id;
  }

  /** The sub-queries of a code node are one line, once there are many, until the reader opens it. */
  #foldLoops(): void {
    const { tree } = this.store;
    if (tree.size <= MANY_QUERIES || performance.now() - this.#loopsFoldedAt < FOLD_PAUSE) return;
    this.#loopsFoldedAt = performance.now();
    const loops: string[] = [];
    for (const node of tree.nodes()) {
      if (node.decision !== "PROGRAM" || this.#foldDecided.has(node.id)) continue;
      if (tree.children(node.id).length > MANY_QUERIES) loops.push(node.id);
    }
    if (loops.length === 0) return;
    for (const id of loops) this.#foldDecided.add(id);
    this.#setFolded(loops, true);
  }

  /** Finished branches make room for live work, once there are more rows than fit. */
  #foldFinished(): void {
    const { tree, run } = this.store;
    if (run.status === "running") this.search.again(false);
    if (run.status !== "running" || this.#isPointing || tree.size <= this.#capacity.value) return;
    if (tree.size > DEAR_TREE && performance.now() - this.#foldedAt < FOLD_PAUSE) return;
    this.#foldedAt = performance.now();
    const kept = this.#keptOpen();
    const finished: string[] = [];
    for (const node of tree.nodes()) {
      if (this.#isFoldable(node) && !kept.has(node.id)) finished.push(node.id);
    }
    if (finished.length === 0) return;
    for (const id of finished) this.#foldDecided.add(id);
    this.#setFolded(finished, true);
  }

  /** Each branch is folded only once: a branch that is opened again stays open. */
  #isFoldable(node: TreeNode): boolean {
    return isFinished(node) && !this.#foldDecided.has(node.id) && this.store.tree.children(node.id).length > 0;
  }

  #keptOpen(): ReadonlySet<string> {
    const focus = [this.selected.value, this.active.value].filter((id) => id !== null);
    const aroundFocus = focus.flatMap((id) => [id, ...this.store.tree.ancestors(id).map((node) => node.id)]);
    const critical = this.showsCriticalPath.value ? this.critical.value.ids : [];
    return new Set([...aroundFocus, ...critical]);
  }
}
