/**
 * What the reader tells the kernel to do, and what became of it: each command is answered, or said to
 * be unanswered.
 */
import { signal } from "@preact/signals-core";
import type { Acknowledgement, BrowserMessage } from "../protocol/messages";

/** Milliseconds after which a kernel that has not answered is reported as busy or shut down. */
export const COMMAND_PATIENCE = 4000;

const UNREACHABLE = "The kernel cannot be reached: it was shut down or restarted. Run the cell again to continue.";
const UNANSWERED = "The kernel has not answered yet: it is busy or was shut down. If it is busy, the command is executed when it is free.";
const REFUSED = "The kernel refused the command.";

export interface Command {
  readonly op: string;
  /** The node it is about; the whole run without. */
  readonly id?: string;
  readonly args?: object;
}

export interface Answer {
  readonly ok: boolean;
  readonly error: string;
  readonly data: unknown;
}

export interface CommandPorts {
  send(message: BrowserMessage): boolean;
  schedule(delay: number, action: () => void): void;
  nextRequest(): number;
}

interface Sent {
  readonly key: string;
  /** Whether an error is shown beside the run, rather than by the caller. */
  readonly shown: boolean;
  readonly settle: (answer: Answer) => void;
}

const keyOf = ({ op, id = "" }: Command): string => `${op} ${id}`;
const failure = (error: string): Answer => ({ ok: false, error, data: null });

export class Commands {
  /** Why the last command did not work. */
  readonly error = signal("");
  readonly #pending = signal<ReadonlySet<string>>(new Set());
  readonly #sent = new Map<number, Sent>();
  readonly #ports: CommandPorts;

  constructor(ports: CommandPorts) {
    this.#ports = ports;
  }

  isPending(command: Command): boolean {
    return this.#pending.value.has(keyOf(command));
  }

  /** Sends a command to the kernel; an error is shown in `error`. */
  run(command: Command): Promise<Answer> {
    return this.#send(command, true);
  }

  /** The same, where the caller shows the error. */
  ask(command: Command): Promise<Answer> {
    return this.#send(command, false);
  }

  receive({ req, ok, error, data }: Acknowledgement): void {
    this.#settle(req, ok ? { ok, error: "", data } : failure(error || REFUSED));
    this.#forget(req);
  }

  dismiss(): void {
    this.error.value = "";
  }

  /** Another run took the place of the one that was commanded. */
  clear(): void {
    this.#sent.clear();
    this.#pending.value = new Set();
    this.dismiss();
  }

  #send(command: Command, shown: boolean): Promise<Answer> {
    const request = this.#ports.nextRequest();
    if (shown) this.dismiss();
    const answer = new Promise<Answer>((settle) => this.#sent.set(request, { key: keyOf(command), shown, settle }));
    this.#showPending();
    if (this.#ports.send({ t: "cmd", req: request, args: {}, ...command })) {
      this.#ports.schedule(COMMAND_PATIENCE, () => this.#settle(request, failure(UNANSWERED)));
    } else {
      this.#settle(request, failure(UNREACHABLE));
      this.#forget(request);
    }
    return answer;
  }

  /** A late answer replaces the message about its absence. */
  #settle(request: number, answer: Answer): void {
    const sent = this.#sent.get(request);
    if (!sent) return;
    if (sent.shown) this.error.value = answer.error;
    sent.settle(answer);
  }

  #forget(request: number): void {
    this.#sent.delete(request);
    this.#showPending();
  }

  #showPending(): void {
    this.#pending.value = new Set([...this.#sent.values()].map(({ key }) => key));
  }
}
