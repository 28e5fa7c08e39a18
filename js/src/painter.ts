/**
 * Decides when to draw: once per animation frame, when something changed or time passed, and only
 * while the widget can be seen.
 */

/** Milliseconds between redraws of a run without new events: bars grow. */
const CLOCK_INTERVAL = 250;

export interface PainterOptions {
  readonly element: Element;
  draw(): void;
  /** Whether to redraw without a request. */
  isMoving(): boolean;
  /** The widget came into sight. */
  shown(): void;
}

export class Painter {
  readonly #options: PainterOptions;
  readonly #observer: IntersectionObserver | null;
  #visible: boolean;
  #dirty = true;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PainterOptions) {
    this.#options = options;
    this.#observer = typeof IntersectionObserver === "undefined" ? null : new IntersectionObserver(this.#onSight);
    this.#visible = this.#observer === null;
    this.#observer?.observe(options.element);
    this.request();
  }

  /** Requests a redraw; requests before the next frame are combined. */
  request = (): void => {
    this.#dirty = true;
    if (this.#visible && this.#frame === 0) this.#frame = requestAnimationFrame(this.#paint);
  };

  stop(): void {
    this.#observer?.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#visible = false;
  }

  #onSight = (entries: readonly IntersectionObserverEntry[]): void => {
    const visible = entries.at(-1)?.isIntersecting ?? false;
    if (visible && !this.#visible) this.#options.shown();
    this.#visible = visible;
    if (visible && (this.#dirty || this.#options.isMoving())) this.request();
  };

  #paint = (): void => {
    this.#frame = 0;
    this.#dirty = false;
    this.#options.draw();
    clearTimeout(this.#timer);
    if (this.#visible && this.#options.isMoving()) this.#timer = setTimeout(this.request, CLOCK_INTERVAL);
  };
}
