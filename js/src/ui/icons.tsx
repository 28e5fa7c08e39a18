/**
 * The icons. Each state has a shape of its own, so that colour is never the only difference.
 */
import type { ComponentChild } from "preact";
import type { DisplayState } from "../store/display";

export type IconName =
  | DisplayState
  | "recurse"
  | "execute"
  | "chevron"
  | "search"
  | "pause"
  | "play"
  | "stop"
  | "retry"
  | "undo"
  | "redo"
  | "copy"
  | "close"
  | "path"
  | "unfold"
  | "up"
  | "edit"
  | "code"
  | "delete"
  | "add"
  | "approve"
  | "answer"
  | "help"
  | "widen"
  | "full"
  | "shrink";

const OUTLINE = { fill: "none", stroke: "currentColor", "stroke-linecap": "round", "stroke-linejoin": "round" } as const;

const SHAPES: Record<IconName, ComponentChild> = {
  pending: <circle cx="8" cy="8" r="5.25" {...OUTLINE} stroke-width="1.4" stroke-dasharray="2.2 2" stroke-linecap="butt" />,
  planning: (
    <g {...OUTLINE} stroke-width="1.4">
      <circle cx="8" cy="8" r="5.75" opacity=".35" />
      <path d="M5.4 8h.01M8 8h.01M10.6 8h.01" stroke-width="1.9" />
    </g>
  ),
  running: (
    <g {...OUTLINE} stroke-width="1.8">
      <circle cx="8" cy="8" r="5.5" opacity=".25" />
      <path d="M8 2.5a5.5 5.5 0 0 1 5.5 5.5" />
    </g>
  ),
  waiting: (
    <g {...OUTLINE} stroke-width="1.4">
      <circle cx="8" cy="8" r="5.75" />
      <path d="M8 4.9V8l2.1 1.5" />
    </g>
  ),
  synthesizing: (
    <path
      d="M3 3.5c0 3.2 5 2.6 5 5.5v4M13 3.5C13 6.7 8 6.1 8 9M5.9 11l2.1 2.2L10.1 11"
      {...OUTLINE}
      stroke-width="1.6"
    />
  ),
  done: (
    <g>
      <circle cx="8" cy="8" r="6.25" fill="currentColor" />
      <path d="M5.2 8.2l2 2 3.7-4.1" {...OUTLINE} stroke="var(--rn-bg)" stroke-width="1.6" />
    </g>
  ),
  failed: (
    <g>
      <path
        d="M8 1.6 14.7 13.6H1.3Z"
        fill="currentColor"
        stroke="currentColor"
        stroke-width="1.2"
        stroke-linejoin="round"
      />
      <path d="M8 6v3.7M8 11.7v.01" {...OUTLINE} stroke="var(--rn-bg)" stroke-width="1.6" />
    </g>
  ),
  reused: (
    <g>
      <circle cx="8" cy="8" r="6.25" {...OUTLINE} stroke-width="1.4" />
      <path d="M5.2 8.2l2 2 3.7-4.1" {...OUTLINE} stroke-width="1.6" />
    </g>
  ),
  cached: (
    <g>
      <circle cx="8" cy="8" r="6.25" {...OUTLINE} stroke-width="1.4" />
      <path d="M8.7 4.2 5.6 8.7h2.3l-.6 3.2 3.1-4.6H8.1z" fill="currentColor" />
    </g>
  ),
  edited: (
    <g {...OUTLINE} stroke-width="1.4">
      <circle cx="8" cy="8" r="6.25" />
      <path d="M5.3 10.7l.4-1.7 4-4 1.3 1.3-4 4z" />
    </g>
  ),
  cancelled: (
    <g {...OUTLINE} stroke-width="1.5">
      <circle cx="8" cy="8" r="5.75" />
      <path d="M5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6" />
    </g>
  ),
  superseded: (
    <g {...OUTLINE} stroke-width="1.5">
      <circle cx="8" cy="8" r="5.75" opacity=".5" />
      <path d="M5 8h5.6M8.6 5.9 10.8 8l-2.2 2.1" />
    </g>
  ),
  recurse: (
    <g {...OUTLINE} stroke-width="1.4">
      <path d="M3.5 3v7.5A1.5 1.5 0 0 0 5 12h4.5M3.5 6.5h6" />
      <circle cx="11.7" cy="6.5" r="1.5" />
      <circle cx="11.7" cy="12" r="1.5" />
    </g>
  ),
  execute: <path d="M5 3.4v9.2l7.4-4.6z" {...OUTLINE} stroke-width="1.4" />,
  chevron: <path d="M6 4l4 4-4 4" {...OUTLINE} stroke-width="1.6" />,
  search: (
    <g {...OUTLINE} stroke-width="1.5">
      <circle cx="7" cy="7" r="4" />
      <path d="M10 10l3.2 3.2" />
    </g>
  ),
  pause: <path d="M5.5 3.5v9M10.5 3.5v9" {...OUTLINE} stroke-width="2.2" />,
  play: <path d="M5 3.4v9.2l7.4-4.6z" fill="currentColor" />,
  stop: <rect x="4" y="4" width="8" height="8" rx="1.5" fill="currentColor" />,
  undo: <path d="M3.2 6.2h6.3a3.4 3.4 0 0 1 0 6.8H6M5.8 3.4 3 6.2 5.8 9" {...OUTLINE} stroke-width="1.5" />,
  redo: <path d="M12.8 6.2H6.5a3.4 3.4 0 0 0 0 6.8H10M10.2 3.4 13 6.2 10.2 9" {...OUTLINE} stroke-width="1.5" />,
  retry: <path d="M12.8 8A4.8 4.8 0 1 1 11 4.3M11.3 1.8v2.8H8.5" {...OUTLINE} stroke-width="1.5" />,
  copy: (
    <g {...OUTLINE} stroke-width="1.3">
      <rect x="5.5" y="5.5" width="7.5" height="7.5" rx="1.5" />
      <path d="M3 10.2V4.5A1.5 1.5 0 0 1 4.5 3h5.7" />
    </g>
  ),
  close: <path d="M4.5 4.5l7 7M11.5 4.5l-7 7" {...OUTLINE} stroke-width="1.6" />,
  path: <path d="M2.5 12.5h3V8h5V3.5h3" {...OUTLINE} stroke-width="1.7" />,
  unfold: <path d="M4 6l4 4 4-4" {...OUTLINE} stroke-width="1.6" />,
  up: <path d="M4 10l4-4 4 4" {...OUTLINE} stroke-width="1.6" />,
  edit: <path d="M3 13l.6-2.8 7-7a1.3 1.3 0 0 1 1.9 0l.3.3a1.3 1.3 0 0 1 0 1.9l-7 7zM9.4 4.4l2.2 2.2" {...OUTLINE} stroke-width="1.4" />,
  code: <path d="M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5" {...OUTLINE} stroke-width="1.5" />,
  delete: <path d="M3 4.5h10M6.2 4.5V3h3.6v1.5M4.3 4.5l.6 8.5h6.2l.6-8.5" {...OUTLINE} stroke-width="1.4" />,
  add: <path d="M8 3.5v9M3.5 8h9" {...OUTLINE} stroke-width="1.6" />,
  approve: (
    <g {...OUTLINE} stroke-width="1.4">
      <path d="M9.5 2.8H4.3a1 1 0 0 0-1 1v8.4a1 1 0 0 0 1 1h7.4a1 1 0 0 0 1-1V8.5" />
      <path d="M5.8 7.2l2 2 5.4-5.6" stroke-width="1.6" />
    </g>
  ),
  answer: <path d="M3 4h10M3 8h10M3 12h5.5" {...OUTLINE} stroke-width="1.6" />,
  help: (
    <g {...OUTLINE} stroke-width="1.5">
      <path d="M5.6 6a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.2.9-1.2 1.8M8 12.4v.01" />
    </g>
  ),
  widen: <path d="M5 5 2 8l3 3M11 5l3 3-3 3M2 8h12" {...OUTLINE} stroke-width="1.5" />,
  full: <path d="M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3" {...OUTLINE} stroke-width="1.5" />,
  shrink: <path d="M3 6h3V3M10 3v3h3M13 10h-3v3M6 13v-3H3" {...OUTLINE} stroke-width="1.5" />,
};

export function Icon({ name, size = 14, turning = false }: { name: IconName; size?: number; turning?: boolean }) {
  return (
    <svg class={`rn-icon${turning ? " rn-turning" : ""}`} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      {SHAPES[name]}
    </svg>
  );
}

/** A state with its own shape and colour; the running one turns (the element, not the path). */
export function StateIcon({ state, size = 15 }: { state: DisplayState; size?: number }) {
  return (
    <span class={`rn-state rn-state-${state}`} title={state}>
      <Icon name={state} size={size} />
    </span>
  );
}
