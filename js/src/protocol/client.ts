/**
 * The receiving end of the protocol: what to apply, what to hold, when to ask again.
 *
 * Everything outside comes in through `ClientPorts`, so a test can drive time and the wire.
 */
import { applyOperation, emptyState, replaceState, type NodeListener, type RunState } from "./fold";
import type { BrowserMessage, Frame, Heartbeat, Pause, Position, RunStatus, Snapshot } from "./messages";

/** Milliseconds between two requests for a snapshot. */
export const SYNC_INTERVAL = 250;

const NOWHERE: Position = { e: -1, s: -1 };

/** Milliseconds that the clock runs on without a word: the kernel beats every 2 s. */
export const LONGEST_EXTRAPOLATION = 2500;

/** Milliseconds without a word after which the kernel is taken to be busy or gone. */
export const LONGEST_SILENCE = 5000;

export interface ClientPorts {
  send(message: BrowserMessage): void;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  schedule(delay: number, action: () => void): void;
  nodeChanged: NodeListener;
  /** Everything was replaced; indexes must be rebuilt. */
  replaced(): void;
  /** Something changed and must be drawn. */
  changed(): void;
}

function isNewer(candidate: Position, reference: Position): boolean {
  return candidate.e > reference.e || (candidate.e === reference.e && candidate.s > reference.s);
}

export class ProtocolClient {
  readonly state: RunState = emptyState();
  /** The last position that was applied; nothing before the first snapshot. */
  position: Position = NOWHERE;
  /** The newest position the kernel was heard to be at. */
  #newest: Position = NOWHERE;
  /** The kernel's clock when it last spoke, and ours at that moment. */
  #clock = { kernel: 0, ours: 0 };
  /** The pauses that were observed here, for a kernel that does not send them. */
  #pauses: Pause[] = [];
  #held = new Map<number, Frame>();
  #heldEpoch = -1;
  #decoding = 0;
  #lastSync = -Infinity;
  #syncScheduled = false;
  readonly #ports: ClientPorts;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
  }

  get hasState(): boolean {
    return this.position.e >= 0;
  }

  /** The run's clock in seconds, pauses included, running on between frames while the run does. */
  runClock(): number {
    const { run } = this.state;
    if (run.elapsed !== null) return run.elapsed;
    if (!this.#isLive) return this.#clock.kernel;
    return this.#clock.kernel + Math.min(this.#silence(), LONGEST_EXTRAPOLATION) / 1000;
  }

  /** Whether a run that is under way has sent no message for long. */
  get isSilent(): boolean {
    return this.hasState && this.#isLive && this.#silence() > LONGEST_SILENCE;
  }

  get pauses(): readonly Pause[] {
    const { pauses } = this.state.run;
    return pauses.length > 0 ? pauses : this.#pauses;
  }

  /** Whether a kernel works on the run, or could. */
  get #isLive(): boolean {
    const { status, readonly } = this.state.run;
    return !readonly && (status === "running" || status === "paused");
  }

  #silence(): number {
    return this.#ports.now() - this.#clock.ours;
  }

  /** Requests a snapshot if there is nothing to show and none is requested. */
  start(): void {
    this.#syncIfBehind();
  }

  frame(frame: Frame): void {
    if (!isNewer(frame, this.position)) return;
    this.#hear(frame);
    this.#hold(frame);
    this.#drain();
    this.#syncIfBehind();
  }

  heartbeat(beat: Heartbeat): void {
    this.#hear(beat);
    if (beat.e === this.position.e) this.#setClock(beat.n);
    this.#syncIfBehind();
  }

  /**
   * Announces a snapshot that is still being unpacked; frames are held until the returned function
   * gets the result, or null when it could not be read.
   */
  expectSnapshot(): (snapshot: Snapshot | null) => void {
    this.#decoding += 1;
    return (snapshot) => {
      this.#decoding -= 1;
      if (snapshot) this.#adopt(snapshot);
      this.#syncIfBehind();
    };
  }

  /** Announces a frame that is still being unpacked; the returned function gets it, or null when it could not be read. */
  expectFrame(position: Position): (frame: Frame | null) => void {
    this.#decoding += 1;
    this.#hear(position);
    return (frame) => {
      this.#decoding -= 1;
      if (frame) this.frame(frame);
      else this.#syncIfBehind();
    };
  }

  #hear(position: Position): void {
    if (isNewer(position, this.#newest)) this.#newest = { e: position.e, s: position.s };
  }

  #adopt(snapshot: Snapshot): void {
    if (isNewer(this.position, snapshot)) return;
    if (snapshot.e !== this.position.e) {
      this.state.texts.clear();
      this.#pauses = [];
    }
    const { status } = this.state.run;
    replaceState(this.state, snapshot);
    this.position = { e: snapshot.e, s: snapshot.s };
    this.#notePause(status, snapshot.n);
    this.#setClock(snapshot.n);
    this.#ports.replaced();
    this.#drain();
    this.#ports.changed();
  }

  /** Keeps frames of the newest epoch seen: an older one can never be continued. */
  #hold(frame: Frame): void {
    if (frame.e < this.#heldEpoch) return;
    if (frame.e > this.#heldEpoch) this.#held.clear();
    this.#heldEpoch = frame.e;
    this.#held.set(frame.s, frame);
  }

  /** Applies the held frames that follow the position without a gap. */
  #drain(): void {
    this.#forgetStale();
    if (this.#heldEpoch !== this.position.e) return;
    let next = this.#held.get(this.position.s + 1);
    while (next) {
      this.#held.delete(next.s);
      this.#apply(next);
      next = this.#held.get(this.position.s + 1);
    }
  }

  #forgetStale(): void {
    for (const frame of this.#held.values()) {
      if (!isNewer(frame, this.position)) this.#held.delete(frame.s);
    }
  }

  #apply(frame: Frame): void {
    const { status } = this.state.run;
    for (const operation of frame.ops) applyOperation(this.state, operation, this.#ports.nodeChanged);
    this.position = { e: frame.e, s: frame.s };
    this.#notePause(status, frame.n);
    this.#setClock(frame.n);
    this.#ports.changed();
  }

  #notePause(before: RunStatus, now: number): void {
    const { status } = this.state.run;
    const open = this.#pauses.at(-1);
    const isOpen = open !== undefined && open[1] === null;
    if (status === "paused" && !isOpen) this.#pauses = [...this.#pauses, [now, null]];
    if (status !== "paused" && before === "paused" && isOpen) this.#pauses = [...this.#pauses.slice(0, -1), [open[0], now]];
  }

  #setClock(kernel: number): void {
    this.#clock = { kernel, ours: this.#ports.now() };
  }

  #syncIfBehind(): void {
    if (!this.hasState || isNewer(this.#newest, this.position)) this.#requestSync();
  }

  #requestSync(): void {
    if (this.#decoding > 0 || this.#syncScheduled) return;
    const wait = this.#lastSync + SYNC_INTERVAL - this.#ports.now();
    if (wait <= 0) return this.#sendSync();
    this.#syncScheduled = true;
    this.#ports.schedule(wait, () => {
      this.#syncScheduled = false;
      this.#syncIfBehind();
    });
  }

  #sendSync(): void {
    this.#lastSync = this.#ports.now();
    this.#ports.send({ t: "sync", e: this.position.e, s: this.position.s });
  }
}
