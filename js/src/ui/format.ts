/** Numbers as people read them: short, in a width that hardly changes. */

export function formatTokens(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)}M`;
  if (count >= 1e4) return `${Math.round(count / 1e3)}k`;
  if (count >= 1e3) return `${(count / 1e3).toFixed(1)}k`;
  return String(count);
}

const twoDigits = (value: number): string => String(value).padStart(2, "0");

/** Rounded as everywhere else a run is shown (`duration` in `core/outline.py`); below a tenth of a second in ms. */
export function formatDuration(seconds: number): string {
  if (seconds > 0 && seconds < 0.1) return `${Math.ceil(seconds * 1000)}ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${twoDigits(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${twoDigits(Math.floor((whole % 3600) / 60))}m`;
}

/** A duration that is not known exactly: in steps of 5 s, from a minute on of half minutes, and so on. */
export function formatRough(seconds: number): string {
  const [step] = [5, 30, 300, 1800].filter((step, index) => index === 0 || seconds >= step * 2).slice(-1) as [number];
  const rounded = Math.max(step, Math.round(seconds / step) * step);
  if (rounded < 60) return `${rounded}s`;
  if (rounded < 3600) return rounded % 60 === 0 ? `${rounded / 60}m` : `${Math.floor(rounded / 60)}m ${rounded % 60}s`;
  return `${Math.floor(rounded / 3600)}h${rounded % 3600 === 0 ? "" : ` ${twoDigits((rounded % 3600) / 60)}m`}`;
}

/** A moment of the run, as on a stop watch. */
export function formatClock(seconds: number): string {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${twoDigits(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${twoDigits(minutes % 60)}:${twoDigits(whole % 60)}`;
}

/** The same to a hundredth: events follow each other within a second. */
export function formatMoment(seconds: number): string {
  const hundredths = Math.round(seconds * 100);
  const rest = (hundredths % 6000) / 100;
  const minutes = Math.floor(hundredths / 6000);
  return minutes === 0 ? `${rest.toFixed(2)}s` : `${formatClock(minutes * 60).slice(0, -2)}${rest.toFixed(2).padStart(5, "0")}`;
}

export function formatTick(seconds: number): string {
  if (seconds === 0) return "0";
  return seconds < 60 ? `${seconds}s` : formatClock(seconds);
}

/** Cents matter in small sums only. */
export function formatCost(dollars: number): string {
  if (dollars === 0) return "$0";
  return `$${dollars.toFixed(dollars < 0.1 ? 3 : 2)}`;
}

/** More than anyone reads in a line; a browser lays out a million characters for seconds. */
const LONGEST_LINE = 400;

/** Text for a place that shows one line, or few. */
export function clip(text: string, longest = LONGEST_LINE): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
