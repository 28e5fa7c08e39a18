import { expect, it } from "vitest";
import { formatClock, formatCost, formatDuration, formatTick, formatTokens } from "../../src/ui/format";

it.each([
  [formatTokens, 0, "0"],
  [formatTokens, 999, "999"],
  [formatTokens, 1400, "1.4k"],
  [formatTokens, 138_200, "138k"],
  [formatTokens, 2_500_000, "2.5M"],
  [formatDuration, 17.6 - 17, "0.6s"],
  [formatDuration, 2.97, "3.0s"],
  [formatDuration, 9.99, "10s"],
  [formatDuration, 14.8, "15s"],
  [formatDuration, 59.9, "1m 00s"],
  [formatDuration, 96, "1m 36s"],
  [formatDuration, 3661, "1h 01m"],
  [formatClock, 96.7, "1:36"],
  [formatClock, 3661, "1:01:01"],
  [formatTick, 0, "0"],
  [formatTick, 40, "40s"],
  [formatTick, 80, "1:20"],
  [formatCost, 0, "$0"],
  [formatCost, 0.0082, "$0.008"],
  [formatCost, 2, "$2.00"],
])("%o of %d is %s", (format, value, expected) => expect(format(value)).toBe(expected));
