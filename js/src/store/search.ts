/**
 * What a search found. The page holds titles, notes and the ends of texts, and answers at once; the kernel adds what
 * it finds in whole outputs and prompts, and says where.
 */
import { signal } from "@preact/signals-core";
import type { FoundReply, Hit, TreeNode } from "../protocol/messages";
import { REPLY_PATIENCE } from "./details";
import { idOf } from "./words";

/** Milliseconds without typing before the kernel is asked. */
const TYPING_PAUSE = 150;
/** Milliseconds after which a run under way is searched again: its texts grow. */
const REPEAT_INTERVAL = 3000;

export type SearchStatus = "idle" | "asking" | "done" | "unanswered";

export interface SearchPorts {
  /** Calls `receive` with each reply; false when the kernel cannot be reached. */
  find(words: readonly string[], receive: (reply: FoundReply) => void): boolean;
  schedule(delay: number, action: () => void): void;
  now(): number;
}

const NO_HITS: ReadonlyMap<string, Hit> = new Map();

export class Search {
  readonly hits = signal(NO_HITS);
  readonly status = signal<SearchStatus>("idle");
  readonly #ports: SearchPorts;
  #words: readonly string[] = [];
  /** Numbers the questions: an answer to an earlier one is dropped. */
  #question = 0;
  #askedAt = 0;

  constructor(ports: SearchPorts) {
    this.#ports = ports;
  }

  ask(words: readonly string[]): void {
    this.#words = words;
    this.#question += 1;
    this.hits.value = NO_HITS;
    this.status.value = words.length > 0 ? "asking" : "idle";
    if (words.length > 0) this.#later(TYPING_PAUSE, () => this.#send());
  }

  /** Asks the same again, because nodes have changed; what was found stays until the answer is complete. */
  again(isDue = true): void {
    if (this.#words.length === 0 || this.status.peek() === "asking") return;
    if (!isDue && this.#ports.now() - this.#askedAt < REPEAT_INTERVAL) return;
    this.#question += 1;
    this.#send();
  }

  #send(): void {
    const question = this.#question;
    const found = new Map<string, Hit>();
    this.#askedAt = this.#ports.now();
    const receive = ({ hits, done }: FoundReply): void => {
      if (question !== this.#question) return;
      for (const hit of hits) found.set(hit[0], hit);
      if (done || this.status.peek() === "asking") this.hits.value = new Map(found);
      if (done) this.status.value = "done";
    };
    if (!this.#ports.find(this.#words, receive)) this.status.value = "unanswered";
    this.#later(REPLY_PATIENCE, () => {
      if (this.status.peek() === "asking" && found.size === 0) this.status.value = "unanswered";
    });
  }

  #later(delay: number, action: () => void): void {
    const question = this.#question;
    this.#ports.schedule(delay, () => question === this.#question && action());
  }
}

const texts = new WeakMap<TreeNode, string>();

/** Nodes are replaced when they change, so what is searched in one is made once. */
function textOf(node: TreeNode): string {
  let text = texts.get(node);
  if (text === undefined) {
    text = `${node.title}\n${node.agent}\n${node.note}\n${node.tail}`.toLowerCase();
    texts.set(node, text);
  }
  return text;
}

/** An id finds its node and those below it; in brackets, the node alone. */
function isNamedBy(id: string, word: string): boolean {
  const wanted = idOf(word);
  return wanted !== null && (id === wanted || (!word.startsWith("[") && id.startsWith(`${wanted}.`)));
}

/** Whether the node has all words in what the page holds of it. */
export function hasWords(node: TreeNode, words: readonly string[]): boolean {
  return words.every((word) => textOf(node).includes(word) || isNamedBy(node.id, word));
}
