/** Waits end at a limit for hangs only: the default of one second is short on a loaded machine. */
import { vi } from "vitest";

const PATIENCE = { timeout: 60_000 };
const { waitFor } = vi;
vi.waitFor = (check, options = PATIENCE) => waitFor(check, options);
