import type { Plugin } from "esbuild";

export const markedLexer: Plugin;
