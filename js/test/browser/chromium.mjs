/** The system's Chromium, driven without downloading a browser. */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Sandboxing does not work for root; the rest keeps Chromium from calling home. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Why the tests cannot run here; an environment that must run them all does not accept that. */
export function reasonToSkip() {
  if (existsSync(EXECUTABLE) || process.env.RLM_REQUIRE_ALL === "1") return false;
  return `there is no Chromium at ${EXECUTABLE} (set CHROMIUM, or install the package chromium)`;
}

export const launch = () => chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
