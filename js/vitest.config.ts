import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/unit/**/*.test.{ts,tsx}"],
    environment: "happy-dom",
    testTimeout: 120_000,
    setupFiles: ["test/unit/patience.ts"],
  },
});
